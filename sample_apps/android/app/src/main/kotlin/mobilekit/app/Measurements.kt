package mobilekit.app

import mobilekit.Benchmark
import mobilekit.GoldenResult
import mobilekit.GoldenTest
import org.json.JSONObject

/** A self-test of a model on a unit: what it found, or why it couldn't be done. */
class SelfTested(val choice: Choice, val found: Told<GoldenResult>) {
    val passed: Boolean get() = found.value?.passed == true
}

/** A benchmark's figures in milliseconds, beside the whole [record] in the kit's result schema. */
class Benched(val runner: String, val record: JSONObject, golden: GoldenResult) {
    val p50Ms: Double = figure("p50")
    val p90Ms: Double = figure("p90")
    val firstMs: Double = figure("first")
    val loadMs: Double = golden.coldMs
    val passed: Boolean = golden.passed

    private fun figure(name: String): Double = record.getJSONObject("latency").getDouble(name) / 1e3
}

/** Tests every model on everything that it can be computed on, and gives each result to [each] as it is there. */
fun Engine.selfTest(models: List<Model>, each: (SelfTested) -> Unit) {
    for (model in models) {
        for (unit in model.units) {
            val choice = Choice(model, unit)
            each(SelfTested(choice, told { golden(choice) }))
        }
    }
}

/** Times a model after its self-test, on [threads] threads. Throws: MobileKitException. */
fun Engine.benchmark(choice: Choice, threads: Int, device: JSONObject): Benched {
    val golden = golden(choice)
    val record = alone { open ->
        Benchmark(choice.model.manifest, threads).run(golden, choice.unit, device) { open(choice) }
    }
    return Benched(golden.runner, record, golden)
}

private fun Engine.golden(choice: Choice): GoldenResult = alone { open ->
    GoldenTest(choice.model.manifest, choice.model.bundled.leastSqnrDb).run { open(choice) }
}
