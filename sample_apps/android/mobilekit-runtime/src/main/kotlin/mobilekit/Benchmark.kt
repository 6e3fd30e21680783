package mobilekit

import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone
import java.util.UUID
import kotlin.math.sqrt
import org.json.JSONArray
import org.json.JSONObject

/** Times a file on its golden inputs after the self-test, and tells it in the kit's result schema. */
class Benchmark(private val manifest: Manifest) {
    /** Calls a file until [RUNS] calls and [LEAST_S] seconds are over, or [MOST_S].
     *
     * golden: of the same file and unit. device: see `androidDevice`. Returns: a result; bench.json is a list of them.
     * Throws: MobileKitException.
     */
    fun run(golden: GoldenResult, device: JSONObject, open: () -> ModelRunner): JSONObject {
        val started = utc()
        val inputs = manifest.golden(manifest.inputs)
        val samples = ArrayList<Double>()
        val (first, config) = open().use { runner ->
            val first = microseconds { runner.run(inputs) }
            repeat(WARMUP_RUNS) { runner.run(inputs) }
            var seconds = 0.0 // in the calls alone, as the kit counts them
            while ((samples.size < RUNS || seconds < LEAST_S) && seconds < MOST_S) {
                samples += microseconds { runner.run(inputs) }
                seconds += samples.last() / 1e6
            }
            first to config(runner)
        }
        val run = record(
            "id harness tool tool_version started_at source_file_sha256",
            "id" to UUID.randomUUID().toString(), "harness" to "app", "tool" to "mobilekit-runtime",
            "started_at" to started,
        )
        val load = record(
            "compile_us", "cold_us" to golden.coldMs * 1e3, "warm_us" to JSONArray(golden.warmMs.map { it * 1e3 })
        )
        val held = golden.passed
        return JSONObject()
            .put("schema_version", 1)
            .put("run", run)
            .put("model", model())
            .put("device", device)
            .put("config", config)
            .put("thermal", record("before_c after_c status_before status_after throttled"))
            .put("latency", latency(first, samples))
            .put("load", load)
            .put("memory", record("peak_bytes init_bytes overall_bytes pss_bytes range_bytes"))
            .put("pipeline", record("preprocess_us inference_us postprocess_us"))
            .put("ops", JSONArray())
            .put("placement", record("total npu gpu cpu partitions"))
            .put("parity", JSONArray(golden.outputs.map(::parity)))
            .put("validity", record(JUDGED, "parity_held" to held, "valid" to held, "reasons" to JSONArray()))
            .put("env", JSONObject())
    }

    private fun model() = record(
        "",
        "name" to manifest.folder, "family" to manifest.family, "head" to manifest.head, "source" to manifest.source,
        "target" to manifest.target, "backend" to manifest.backend, "recipe" to manifest.recipe,
        "sha256" to manifest.modelSha256, "size_bytes" to manifest.modelBytes,
    )

    private fun config(runner: ModelRunner) = record(
        "cores warmup_s cooldown_s",
        "delegate" to runner.name, "threads" to runner.threads, "warmup_runs" to WARMUP_RUNS, "runs" to RUNS,
        "min_s" to LEAST_S, "max_s" to MOST_S, "input" to "golden",
    )

    private fun parity(output: OutputCheck) = record(
        "max_error top1 pixel_agreement",
        "name" to output.name, "sqnr_db" to output.sqnrDb.takeIf { it.isFinite() }, "passed" to output.passed,
        "bound" to output.leastDb?.let { "SQNR >= $it dB" },
    )

    companion object {
        // As the kit judges a result: LiteRT's own benchmark asks for these.
        const val RUNS = 50
        const val LEAST_S = 1.0
        const val MOST_S = 150.0
        const val WARMUP_RUNS = 5
        private const val JUDGED =
            "enough_runs long_enough not_throttled one_delegate undisturbed completed"

        /** The schema's figures of calls in microseconds; [first] is none of them. */
        fun latency(first: Double, samples: List<Double>): JSONObject {
            val calls = samples.sorted()
            val mean = calls.average()
            val std = sqrt(calls.sumOf { (it - mean) * (it - mean) } / (calls.size - 1)).takeIf { calls.size > 1 }
            val cut = calls.size / 10
            val figures = record(
                "stability",
                "samples" to JSONArray(listOf(JSONArray(samples))), "count" to calls.size, "first" to first,
                "mean" to mean, "std" to std, "min" to calls.first(), "max" to calls.last(), "cv" to std?.div(mean),
                "trimmed_mean_80" to calls.subList(cut, calls.size - cut).average(),
                "p99_p50" to percentile(calls, 99) / percentile(calls, 50),
            )
            for (percent in listOf(5, 10, 50, 90, 95, 99)) figures.put("p$percent", percentile(calls, percent))
            return figures
        }

        private fun percentile(sorted: List<Double>, percent: Int): Double {
            val place = (sorted.size - 1) * percent / 100.0
            val below = place.toInt()
            val above = minOf(below + 1, sorted.size - 1)
            return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
        }
    }
}

/** An object with what is known; the keys in [unknown] are null. */
internal fun record(unknown: String, vararg known: Pair<String, Any?>): JSONObject {
    val result = JSONObject()
    for (key in unknown.split(" ").filter { it.isNotEmpty() }) result.put(key, JSONObject.NULL)
    for ((key, value) in known) result.put(key, value ?: JSONObject.NULL)
    return result
}

private inline fun microseconds(work: () -> Unit): Double {
    val start = System.nanoTime()
    work()
    return (System.nanoTime() - start) / 1e3
}

private fun utc(): String = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT)
    .apply { timeZone = TimeZone.getTimeZone("UTC") }
    .format(Date())
