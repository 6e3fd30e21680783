package mobilekit.app

import mobilekit.Benchmark
import mobilekit.GoldenResult
import mobilekit.GoldenTest
import mobilekit.MobileKitException
import mobilekit.ModelRunner
import org.json.JSONObject

/** A self-test of a model on a unit: what it found, or why it couldn't be done. */
class SelfTested(val choice: Choice, val found: Outcome<GoldenResult>) {
    val passed: Boolean get() = found.value?.passed == true
}

/** A benchmark's figures in milliseconds, beside the whole [record] in the kit's result schema. */
class Benched(val title: String, val record: JSONObject, golden: GoldenResult) {
    val runner: String = golden.runner
    val p50Ms: Double = record.getJSONObject("latency").getDouble("p50") / 1e3
    val loadMs: Double = golden.coldMs
    val passed: Boolean = golden.passed
}

/** A runner that makes no further call once it is [stopped]: a benchmark makes them for minutes. */
class Stoppable(private val runner: ModelRunner, private val stopped: () -> Boolean) : ModelRunner by runner {
    override fun run(inputs: Map<String, ByteArray>): Map<String, FloatArray> {
        if (stopped()) throw MobileKitException("The benchmark was stopped. Run it again for its figures.")
        return runner.run(inputs)
    }
}

/** Tests every model on everything that it can be computed on, and gives each result to [each] as it is there. */
fun Engine.selfTest(models: List<Model>, each: (SelfTested) -> Unit) {
    for (model in models) {
        for (unit in model.units) {
            val choice = Choice(model, unit)
            each(SelfTested(choice, attempt { golden(choice) }))
        }
    }
}

/** Times a model after its self-test. Throws: MobileKitException, also once it is [stopped]. */
fun Engine.benchmark(choice: Choice, device: JSONObject, stopped: () -> Boolean): Benched {
    val golden = golden(choice)
    val record = alone { open ->
        Benchmark(choice.model.manifest).run(golden, device) { Stoppable(open(choice), stopped) }
    }
    return Benched(choice.model.title, record, golden)
}

private fun Engine.golden(choice: Choice): GoldenResult = alone { open ->
    GoldenTest(choice.model.manifest, choice.model.bundled.leastSqnrDb).run { open(choice) }
}
