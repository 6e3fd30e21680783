"""How LiteRT's `benchmark_model` is started on a device: the flags of its own README."""

from collections.abc import Sequence

from mobile_kit.target_api.benchmark import BenchmarkJob, BenchmarkProgram
from targets.tflite.importers.benchmark_log import BenchmarkLog, OpProfileCsv

__all__ = ["BENCHMARK_MODEL"]

OUTPUTS, OPERATIONS = "outputs.bin", "operations.csv"


def _command(job: BenchmarkJob) -> Sequence[str]:
    flags = {
        "graph": job.model,
        "warmup_runs": job.warmup_runs,
        "warmup_min_secs": job.warmup_s,
        "num_runs": job.runs,
        "min_secs": job.min_s,
        "max_secs": job.max_s,
        "use_xnnpack": "true",
        "input_layer": ",".join(spec.name for spec in job.inputs),
        "input_layer_shape": ":".join(",".join(map(str, spec.shape)) for spec in job.inputs),
        # A colon of a name is doubled in this flag alone.
        "input_layer_value_files": ",".join(
            f"{spec.name.replace(':', '::')}:{path}" for spec, path in zip(job.inputs, job.values, strict=True)
        ),
        "output_filepath": job.folder + OUTPUTS,
        "enable_op_profiling": "true",
        "op_profiling_output_mode": "csv",
        "op_profiling_output_file": job.folder + OPERATIONS,
        "report_peak_memory_footprint": "true",
    }
    threads = {} if job.threads is None else {"num_threads": job.threads}
    return [job.program, *(f"--{name}={value}" for name, value in {**flags, **threads}.items())]


def _outputs(job: BenchmarkJob) -> Sequence[str]:
    return (OUTPUTS,)


BENCHMARK_MODEL = BenchmarkProgram("benchmark_model", _command, _outputs, BenchmarkLog(), (OPERATIONS, OpProfileCsv()))
