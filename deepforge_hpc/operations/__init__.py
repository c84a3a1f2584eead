"""Operations that any pipeline can use: `uses: deepforge_hpc.operations:NAME`.

Imports no framework before one of them runs.
"""

from __future__ import annotations

from deepforge_hpc.operations.train import Train

__all__ = ["Train"]
