"""What starts the ranks of a job: the site's words, filled in; cores and GPUs by its table. Pure.

Which GPUs are a rank's own is said in the plan: a rank takes them itself, whatever started it, and
in a container too, before any code of the user's runs. In a container a rank is started by
`bash -c SCRIPT IMAGE`, with the rank's own command as further arguments: no file has to be written,
found by all nodes or cleaned up. The text of SCRIPT is made here, without a value of a user's.
"""

from __future__ import annotations

import re

from deepforge_hpc.plan.containers import Container
from deepforge_hpc.plan.facts import Facts, has_amd_gpus
from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.runtime.base.plan import LaunchCommand
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.request import LaunchMethod
from deepforge_hpc.site.unknown import known
from deepforge_hpc.site.words import SIZES

NVIDIA, AMD = "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_BINDING = re.compile(r"(?:--[a-z_-]+=)?\{(cpu_bind|gpu_bind)\}")
_GPU_REQUESTS = ("--gpus", "--gres=gpu", "--ntasks-per-gpu")
_GPU_WORDS = (*_GPU_REQUESTS, "--gpu-bind")


def launch_command(
    site: SiteSpec,
    scheduler: Scheduler,
    name: str,
    facts: Facts,
    container: Container | None = None,
) -> LaunchCommand:
    """Return the words that start the ranks of a job, each in its container if there is one."""
    launcher = site.launchers.get(name)
    if launcher is None or name == "none":
        return LaunchCommand()
    size = facts.resources
    values = {key: str(getattr(size, key)) for key in SIZES}
    argv = _argv(site, launcher, facts, values)
    env = scheduler.launch_env(site.scheduler_version, argv, values["cpus_per_task"])
    env |= {key: _fill(value, values) for key, value in launcher.env.items()}
    if argv and container is not None:
        words = container.words if launcher.starter.starts_images else ()
        argv += [*words, "bash", "-c", container.script, container.image]
    return LaunchCommand(
        name=name,
        argv=tuple(argv),
        env=tuple(sorted(env.items())),
        world_size=size.world_size,
        gpus=() if _is_shared_out(site, launcher, facts, argv) else _gpus_of_ranks(site, facts),
        gpu_visibility=facts.gpu_visibility,
        gpu_variable=AMD if has_amd_gpus(facts.node) else NVIDIA,
    )


def cpu_bind(site: SiteSpec, facts: Facts) -> str:
    """Return the value of --cpu-bind that puts each rank next to its GPUs; empty: none."""
    binding = site.binding
    name = facts.queue.name if facts.queue is not None else ""
    style = binding.style
    gpus = _gpus_of_ranks(site, facts)
    if style not in ("mask", "map") or not gpus or not binding.gpu_core_base:
        return ""
    if binding.needs_full_node and not _has_all_cores(facts, len(binding.gpu_core_base)):
        return ""
    starts = [[binding.gpu_core_base[gpu] + binding.skip_first for gpu in group] for group in gpus]
    if style == "map" or name in binding.except_queues:
        if len(gpus[0]) > 1:
            return ""  # one core is no place for what has several GPUs
        return "map_cpu:" + ",".join(str(group[0]) for group in starts)
    share = -(-facts.resources.cpus_per_task // len(gpus[0]))
    width = max(1, min(share, binding.width - binding.skip_first))
    masks = (sum(((1 << width) - 1) << start for start in group) for group in starts)
    return "mask_cpu:" + ",".join(f"{mask:x}" for mask in masks)


def unbound(site: SiteSpec, facts: Facts, argv: tuple[str, ...]) -> list[str]:
    """Say what a list of cores, one a rank, leaves of the cores that a job asked for."""
    binding, cores = site.binding, facts.resources.cpus_per_task
    name = facts.queue.name if facts.queue is not None else ""
    is_list = binding.style == "map" or (binding.style == "mask" and name in binding.except_queues)
    if not is_list or not binding.gpu_core_base or not argv or not facts.resources.gpus_per_node:
        return []
    where = f"queue {name} of {site.name}" if name else f"site {site.name}"
    if not any(word.startswith("--cpu-bind=map_cpu") for word in argv):
        return [f"{where} binds by a list of cores, one a GPU: these ranks are not bound"]
    return [f"{where} binds each rank to one of its {cores} cores"] if cores > 1 else []


def _has_all_cores(facts: Facts, gpus: int) -> bool:
    """Return whether a mask of any cores is within the job: all GPUs, and no others on the node."""
    is_shared = facts.queue is not None and known(facts.queue.exclusive) is False
    return facts.resources.gpus_per_node == gpus and not is_shared


def gpu_words(site: SiteSpec, facts: Facts) -> list[str]:
    """Return the words of `{gpu_bind}`: GPUs that are asked for on the launch line, and where."""
    if not facts.resources.gpus_per_node:
        return []
    words = []
    request = site.request.gpu
    if request.where in ("launch", "both"):
        option = gpu_option(site, facts)
        if option is not None:
            words.append(f"--{option[0]}={option[1]}")
    if facts.gpu_visibility == "own":
        if site.binding.style == "closest":
            words.append("--gpu-bind=closest")
    elif site.request.gpu.style == "gpus-per-task":
        words.append("--gpu-bind=none")  # else each rank sees its own alone (srun(1))
    return words


def asks_for_gpus(argv: tuple[str, ...]) -> bool:
    """Return whether a launch line asks for GPUs itself."""
    return any(word.startswith(_GPU_REQUESTS) for word in argv)


def gpu_option(site: SiteSpec, facts: Facts) -> tuple[str, str] | None:
    """Return the one option by which the site wants GPUs to be asked for.

    None: by none, or (gpus-per-task) the GPUs cannot be shared out evenly.
    """
    count = facts.resources.gpus_per_node
    style = known(site.request.gpu.style) or "gres"
    if not count or style == "none":
        return None
    kind = known(facts.node.gpu_type) if facts.node is not None else None
    prefix = f"{kind}:" if site.request.gpu.typed and kind else ""
    if style == "gres":
        return "gres", f"gpu:{prefix}{count}"
    if style == "gpus":
        return "gpus", f"{prefix}{facts.gpus}"
    launcher = site.launchers.get(facts.launch)
    if style == "gpus-per-task" and (
        not launcher or not launcher.argv or launcher.starter.starts_tasks
    ):
        ranks = facts.resources.ntasks_per_node
        return None if count % ranks else (style, f"{prefix}{count // ranks}")
    # Also where no task is a rank: Slurm would give mpirun's daemon on a node those of one alone.
    return "gpus-per-node", f"{prefix}{count}"


def _argv(
    site: SiteSpec, launcher: LaunchMethod, facts: Facts, values: dict[str, str]
) -> list[str]:
    bind = cpu_bind(site, facts)
    gpus = gpu_words(site, facts)
    argv: list[str] = []
    for word in launcher.argv:
        match = _BINDING.fullmatch(word)
        if match is None:
            if facts.resources.gpus_per_node or not word.startswith(_GPU_WORDS):
                argv.append(_fill(word, values))
        elif match[1] == "cpu_bind":
            argv += [f"--cpu-bind={bind}"] if bind else []
        else:
            named = {item.partition("=")[0] for item in launcher.argv}
            argv += [item for item in gpus if item.partition("=")[0] not in named]
    return argv


def _fill(word: str, values: dict[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], ""), word)


def _gpus_of_ranks(site: SiteSpec, facts: Facts) -> tuple[tuple[int, ...], ...]:
    """Return the GPUs of each rank of a node; empty if they cannot be shared out evenly."""
    count, ranks = facts.resources.gpus_per_node, facts.resources.ntasks_per_node
    in_table = len(site.binding.gpu_core_base) or count
    if not count or count % ranks or count > in_table:
        return ()
    order = list(range(count))
    if site.binding.gpu_order == "descending":
        order.reverse()
    elif site.binding.style == "closest" and count == len(site.binding.gpu_core_base):
        order.sort(key=lambda gpu: site.binding.gpu_core_base[gpu])  # ranks take cores in order
    elif not isinstance(site.binding.gpu_order, str):
        order = [gpu for gpu in site.binding.gpu_order if gpu < count]
    each = count // ranks
    return tuple(tuple(order[rank * each : (rank + 1) * each]) for rank in range(ranks))


def _is_shared_out(site: SiteSpec, launcher: LaunchMethod, facts: Facts, argv: list[str]) -> bool:
    """Return whether the scheduler itself lets each rank see its own GPUs alone."""
    if facts.gpu_visibility != "own" or not launcher.starter.starts_tasks:
        return False
    return site.request.gpu.style == "gpus-per-task" or "--gpu-bind=closest" in argv
