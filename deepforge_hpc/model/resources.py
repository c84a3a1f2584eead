"""What a job asks of a machine, in Slurm's own words."""

from deepforge_hpc.runtime.base.plan import Resources

__all__ = ["Resources"]
