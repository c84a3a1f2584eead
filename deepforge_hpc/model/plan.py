"""The classes of a plan, which jobs read too."""

from deepforge_hpc.runtime.base.plan import (
    FINAL_JOB,
    ContainerLaunch,
    DeclaredOutput,
    Environment,
    ExternalInput,
    InputBinding,
    Job,
    JobKind,
    LaunchCommand,
    OperationSource,
    Origin,
    OutputPort,
    Plan,
    Reference,
    parse_plan,
)

__all__ = [
    "FINAL_JOB",
    "ContainerLaunch",
    "DeclaredOutput",
    "Environment",
    "ExternalInput",
    "InputBinding",
    "Job",
    "JobKind",
    "LaunchCommand",
    "OperationSource",
    "Origin",
    "OutputPort",
    "Plan",
    "Reference",
    "parse_plan",
]
