"""The devices of a run: their kind, settings and memory, and how arrays are divided over them.

The rows of a batch are split over all devices, everything else is replicated. The mesh has two
axes, `data` and `state`: rows are split over both, weights and moments over `state`, which has size
1 unless the state is divided. On several hosts, every process calls `join`, then runs the same
command on the same data; the first process writes the run folder.
"""

import ctypes
import functools
import glob
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from birdiedna.training.stop import Stopped

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

T = TypeVar("T")

#: Kinds of devices that a run may require.
KINDS = ("any", "accelerator", "cpu", "gpu", "tpu")
#: Where Linux shows the limits of containers and jobs, and the group of this process.
CGROUP, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
#: Settings of JAX that change what a run computes, with the values that all runs use.
_NUMBERS = {
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_legacy_prng_key": "allow",
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,
    "jax_numpy_dtype_promotion": "standard",
    "jax_softmax_custom_jvp": False,
    "jax_disable_jit": False,
    "jax_disable_most_optimizations": False,
}


def cache_variables(cache: Path) -> dict[str, str]:
    """Environment variables that cache compiled programs in `<cache>/compiled`; set ones win."""
    chosen = {
        "JAX_COMPILATION_CACHE_DIR": str((cache / "compiled").absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return {name: os.environ.get(name) or value for name, value in chosen.items()}


def enable_compilation_cache(cache: Path) -> None:
    """Cache compiled programs in `<cache>/compiled`, unless JAX already has a folder."""
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str((cache / "compiled").absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _replace_damaged_programs()


@functools.cache
def _replace_damaged_programs() -> None:
    """Remove programs of the cache that a kill or a full disk cut, when JAX warns of them.

    JAX writes them in place, and would compile them in each process, with a warning, for ever.
    """
    show = warnings.showwarning

    def shown(message: Warning | str, *others: Any, **more: Any) -> None:
        damaged = re.match(
            r"Error \w+ persistent compilation cache entry for '(.+?)'", str(message)
        )
        folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
        if damaged and folder:
            for path in Path(folder).glob(f"{glob.escape(damaged[1])}-*"):
                path.unlink(missing_ok=True)
        show(message, *others, **more)

    warnings.showwarning = shown


def known(kind: str) -> None:
    """Raise ValueError if `kind` is none of `KINDS`."""
    if kind not in KINDS:
        raise ValueError(f"device {kind!r} is none of {', '.join(KINDS)}")


def refuse_other_numbers() -> None:
    """Refuse settings of JAX that change results, by a ValueError that names the first."""
    for setting, usual in _NUMBERS.items():
        other = jax.config.values.get(setting, usual)  # some are no attributes, or do not exist
        found = getattr(jax.config, setting, other)
        if (found := getattr(found, "value", found)) != usual:
            raise ValueError(
                f"{setting.upper()} is {found!r}, which changes what runs compute, and all runs "
                f"are made with {usual!r}; unset that variable, or the setting of jax.config"
            )


def require(kind: str) -> None:
    """Refuse to run on another kind of device, where JAX would fall back to the CPU.

    ValueError also for an unknown kind, and as in `refuse_other_numbers`.
    """
    known(kind)
    refuse_other_numbers()
    platform = backend()
    if kind not in ("any", platform) and not (kind == "accelerator" and platform != "cpu"):
        raise ValueError(
            f"{'an accelerator' if kind == 'accelerator' else kind} was asked for and JAX found "
            f"only {platform}; install the jax of your device (README), or give "
            f"--device {platform} (`birdiedna book`: --set device={platform})"
        )


def backend() -> str:
    """The kind of device of this process, cpu, gpu or tpu; ValueError if JAX finds none."""
    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        raise ValueError(
            f"JAX finds no device for JAX_PLATFORMS={asked}; install the jax of that device "
            "(README), or unset JAX_PLATFORMS"
        ) from error


def check_memory(net: Any, copies: int, batch_bytes: int) -> None:
    """Refuse a run that does not fit the memory, before its program is compiled.

    Otherwise a host would start to swap, or its kernel would kill this process or another.

    Args:
      net: shapes of the weights; the run holds `copies` of them in float32.
      batch_bytes: a lower bound of the memory for a batch.

    Raises:
      ValueError: the run needs more memory than all devices have, or the host of a CPU.
    """
    parameters = sum(leaf.size for leaf in jax.tree.leaves(net))
    weights = 4 * copies * parameters
    stats = jax.local_devices()[0].memory_stats() or {}
    room = stats.get("bytes_limit", 0) * jax.device_count()
    room = room or host_memory()
    if 0 < room < weights + batch_bytes:
        smaller = "width, mlp_width, heads or blocks of the model"
        raise ValueError(
            f"a model of {parameters:,} parameters needs {weights / 1e9:,.1f} GB, its batches at "
            f"least {batch_bytes / 1e9:,.1f} GB more, and there are {room / 1e9:,.1f} GB of "
            f"memory; lower {smaller if weights > room else f'rows, slots, or {smaller}'}"
        )


def host_memory() -> int:
    """Bytes of memory of the machine; of `ulimit -v`, container or job if less; 0 if unknown."""
    if resource is None:  # Windows
        return 0
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits += [size for size in resource.getrlimit(resource.RLIMIT_AS)[:1] if size > 0]
    own = OWN_GROUP.read_text() if OWN_GROUP.exists() else ""
    for kind, group in [("", ""), *re.findall("^[0-9]+:(|memory):/(.*)", own, re.M)]:
        place = CGROUP / kind / group
        for folder in (place, *place.parents):  # Slurm limits the group of a job, above its tasks'
            for name in ("memory.max", "memory.limit_in_bytes"):
                with suppress(OSError, ValueError):  # no such file, or "max"
                    limits.append(int((folder / name).read_text()))
    return min(limits)


def out_of_memory(error: jax.errors.JaxRuntimeError) -> bool:
    """Whether an error of JAX says that memory is lacking."""
    return bool(re.search("RESOURCE_EXHAUSTED|[Oo]ut of memory|bad_alloc", str(error)))


def planned_bytes(program: jax.stages.Lowered) -> int:
    """Peak memory of a program on one device in bytes, as planned by the compiler."""
    plan = program.compile().memory_analysis()
    assert plan is not None  # JAX's own backends all return one
    inputs = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return plan.temp_size_in_bytes + inputs


def join(hosts: str) -> None:
    """Make this process one of several; call it before any computation.

    Args:
      hosts: "auto" on clusters that JAX detects (TPU pods, Slurm), else
        `address:port,processes,number` with the address of process 0 and this process's number.

    Raises:
      ValueError: it is neither, or the other processes cannot be reached.
    """
    match = re.fullmatch(r"([^,]+:\d+),(\d+),(\d+)", hosts)
    if hosts != "auto" and not match:
        raise ValueError(f"hosts {hosts!r} is neither auto nor like 10.0.0.1:1234,2,0")
    try:
        if match:
            jax.distributed.initialize(match[1], int(match[2]), int(match[3]))
        else:
            jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"--hosts {hosts}: the processes cannot join ({error}); auto is for pods and Slurm "
            "only, elsewhere give each process address:port,processes,number"
        ) from error


def mesh(*rows: int, shard_state: bool = False) -> Mesh:
    """The mesh of all devices of all processes, for batches of each size in `rows`.

    With `shard_state`, weights and moments are divided over the devices to save memory. Axes are
    Auto, because Explicit, the default of newer JAX, refuses the gather of an embedding. ValueError
    if a size is not a multiple of the number of devices.
    """
    count = jax.device_count()
    if uneven := [number for number in rows if number % count]:
        raise ValueError(
            f"{uneven[0]} rows do not divide over {count} devices; use a multiple of {count} "
            "rows, or fewer devices"
        )
    shape = (1, count) if shard_state else (count, 1)
    kinds = (AxisType.Auto,) * 2
    return jax.make_mesh(shape, ("data", "state"), axis_types=kinds, devices=jax.devices())


def sharded(mesh: Mesh) -> NamedSharding:
    """Split the second axis, the rows of stacked batches, over the devices."""
    return NamedSharding(mesh, PartitionSpec(None, ("data", "state")))


def divided(tree: Any, mesh: Mesh) -> Any:
    """For every array of a state: split its longest divisible axis over the mesh axis `state`.

    Arrays without one are replicated.
    """
    parts = mesh.shape["state"]

    def of(array: Any) -> NamedSharding:
        sizes = array.shape if parts > 1 else ()
        fits = [axis for axis, size in enumerate(sizes) if not size % parts]
        longest = max(fits, key=lambda axis: array.shape[axis], default=-1)
        axes = ["state" if axis == longest else None for axis in range(len(sizes))]
        return NamedSharding(mesh, PartitionSpec(*axes))

    return jax.tree.map(of, tree)


def replicated(mesh: Mesh) -> NamedSharding:
    """Replicate an array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def whole(tree: T, mesh: Mesh) -> T:
    """Arrays that may be divided, whole on every device, within a program."""
    return jax.lax.with_sharding_constraint(tree, replicated(mesh))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copy arrays to every device; all processes must pass equal ones."""
    return _placed(tree, jax.tree.map(lambda _: replicated(mesh), tree))


def divide(tree: Any, mesh: Mesh) -> Any:
    """Place a state as `divided` says; all processes must pass equal ones."""
    return _placed(tree, divided(tree, mesh))


def _placed(tree: Any, places: Any) -> Any:
    if jax.process_count() == 1:
        return jax.device_put(tree, places)

    def place(array: Any, sharding: NamedSharding) -> jax.Array:
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda i: host[i])

    return jax.tree.map(place, tree, places)


def gathered(tree: Any) -> Any:
    """The whole arrays of a state, on the host; all processes must call this."""
    whole = lambda x: multihost_utils.process_allgather(x, tiled=True)
    here = lambda x: not isinstance(x, jax.Array) or x.is_fully_addressable or x.is_fully_replicated
    return jax.tree.map(lambda x: np.asarray(x) if here(x) else whole(x), tree)


def broadcast_from_first(tree: Any) -> Any:
    """The first process's arrays, in every process; all must pass equal shapes and types."""
    return tree if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(tree)


@contextmanager
def enter_all_or_none(context: AbstractContextManager[T]) -> Iterator[T]:
    """Enter a context in every process, or in none if the first process cannot.

    The first then raises its own error, the others a ValueError.
    """
    with ExitStack() as stack:
        try:
            entered = stack.enter_context(context)
        except Exception:
            broadcast_from_first(np.bool_(False))
            raise
        if not broadcast_from_first(np.bool_(True)):
            raise ValueError("the first process could not start; see its message")
        yield entered


def agree_to_stop(stopped: Stopped | None) -> Stopped | None:
    """The first process's decision, so that all stop after the same chunk."""
    if jax.process_count() == 1:
        return stopped
    status = int(broadcast_from_first(np.int32(stopped.status if stopped else 0)))
    return (stopped or Stopped("the first process stopped", status)) if status else None


def joules() -> float | None:
    """Energy used by the devices since their driver was loaded, by any process.

    NVIDIA cards report it (NVML, from Volta on). None if the devices do not, or if JAX sees only
    some of the cards, since NVML counts all of them.
    """
    if jax.default_backend() != "gpu":
        return None
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        count, total = ctypes.c_uint(), 0
        failed = nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        if failed or count.value != jax.local_device_count():
            return None
        for number in range(count.value):
            card, used = ctypes.c_void_p(), ctypes.c_ulonglong()
            failed = nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(card))
            if failed or nvml.nvmlDeviceGetTotalEnergyConsumption(card, ctypes.byref(used)):
                return None
            total += used.value
    except (OSError, AttributeError):  # no driver, or an older one
        return None
    return total / 1000  # NVML gives millijoules


#: Rows x slots x width x blocks of a batch of the paper's pre-training.
_PAPERS_BATCH = 128 * 1024 * 512 * 4


def runs_at_once(work: int) -> int:
    """How many runs with batches of `work` = rows x slots x width x blocks to train together here.

    On an accelerator, together they make a batch of the paper's pre-training, which fills it; 1 on
    a CPU and with several processes.
    """
    if jax.default_backend() == "cpu" or jax.process_count() > 1:
        return 1
    return max(1, _PAPERS_BATCH // work)
