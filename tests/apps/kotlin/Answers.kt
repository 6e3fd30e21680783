package harness

import java.io.File
import mobilekit.AssetFiles
import mobilekit.Benchmark
import mobilekit.BundledModel
import mobilekit.ClassMap
import mobilekit.FolderFiles
import mobilekit.GoldenResult
import mobilekit.GoldenTest
import mobilekit.Manifest
import mobilekit.ModelRunner
import mobilekit.PostProcessor
import mobilekit.classColor
import org.json.JSONArray
import org.json.JSONObject

/** A runner that gives back what lies in a folder beside the artifact: `given`, or `swapped` for another image. */
private class StandIn(private val manifest: Manifest, private val folder: File) : ModelRunner {
    override val name = "stand-in"
    override val threads = null

    override fun run(inputs: Map<String, ByteArray>): Map<String, FloatArray> {
        val golden = manifest.golden(manifest.inputs)
        val image = manifest.inputs.first()
        for (record in manifest.inputs.drop(1)) check(inputs.getValue(record.name).contentEquals(golden[record.name]))
        val from = if (inputs.getValue(image.name).contentEquals(golden[image.name])) "given" else "swapped"
        File(folder, "$from.bin").writeBytes(inputs.getValue(image.name))
        return manifest.outputs.associate { it.name to it.floats(File(folder, "$from/${it.name}.bin").readBytes()) }
    }

    override fun close() = Unit
}

/** Classes and maps of the outputs in each case, which has its manifest in a folder of its name. */
fun answers(folder: File): JSONObject {
    val cases = JSONArray(File(folder, "cases.json").readText())
    val said = (0 until cases.length()).map { number ->
        val manifest = Manifest.read(FolderFiles(folder), "$number")
        val outputs = manifest.outputs.associate { it.name to it.floats(manifest.read(it.golden)) }
        val reader = PostProcessor(manifest)
        when {
            reader.predictsValues -> JSONArray(reader.values(outputs).map { JSONArray(listOf(it.index, it.score, it.label)) })
            reader.classifies -> JSONArray(reader.best(outputs).map { JSONArray(listOf(it.index, it.score, it.label)) })
            reader.segments -> map(reader.classMap(outputs), reader, File(folder, "$number/classes.bin"))
            else -> JSONArray(reader.features(outputs).map { JSONArray(listOf(it.name, JSONArray(it.shape), it.norm)) })
        }
    }
    val colors = JSONArray((0 until 150).map { classColor(it) and 0xffffff })
    return JSONObject().put("answers", JSONArray(said)).put("colors", colors)
}

private fun map(found: ClassMap, reader: PostProcessor, file: File): JSONObject {
    file.writeBytes(ByteArray(found.classes.size) { found.classes[it].toByte() })
    val shares = JSONArray(reader.shares(found).map { JSONArray(listOf(it.index, it.score, it.label)) })
    val first = found.colors().first() and 0xffffff
    return JSONObject().put("width", found.width).put("height", found.height).put("shares", shares).put("first", first)
}

/** What the app knows of each bundled model. */
fun models(folder: File): JSONObject {
    val said = JSONObject()
    for (model in BundledModel.all(FolderFiles(folder))) {
        val manifest = Manifest.read(FolderFiles(folder), model.folder)
        val known = JSONObject().put("title", model.title).put("labels", JSONArray(manifest.labels))
        known.put("inputs", JSONArray(manifest.inputs.map { it.name })).put("size", manifest.modelBytes)
        said.put(model.folder, known.put("least", JSONObject(model.leastSqnrDb as Map<*, *>)))
    }
    return said
}

fun units(folder: File): JSONObject {
    val manifest = Manifest.read(FolderFiles(folder), "artifact")
    return JSONObject().put("units", JSONArray(ModelRunner.units(manifest)))
}

/** Loads a file with the runtime of its target, which isn't here. */
fun open(folder: File): JSONObject {
    val manifest = Manifest.read(FolderFiles(folder), "artifact")
    return ModelRunner.open(manifest, ModelRunner.units(manifest).first(), threads = 2).use {
        JSONObject().put("opened", it.name)
    }
}

/** The self-test of an artifact on each unit with its target's runtime: the runner's name, or why there is none. */
fun runners(folder: File): JSONArray {
    val manifest = Manifest.read(FolderFiles(folder), "artifact")
    val record = JSONObject(File(folder, "photo.json").readText())
    val test = GoldenTest(manifest, mapOf("logits" to 30.0)) { photo(record, folder) }
    return JSONArray(ModelRunner.units(manifest).map { unit ->
        refusing {
            val found = test.run { ModelRunner.open(manifest, unit, threads = 2) }
            val threads = ModelRunner.open(manifest, unit, threads = 2).use { it.threads } ?: JSONObject.NULL
            val noise = found.outputs.map { if (it.sqnrDb.isFinite()) it.sqnrDb else "${it.sqnrDb}" }
            val said = JSONObject().put("runner", found.runner).put("threads", threads)
            said.put("passed", found.passed).put("noise", JSONArray(noise))
        }
    })
}

/** Brings the files of the artifacts named a and b to the disk, as an app does with its assets, then only b's. */
fun copies(folder: File): JSONObject {
    val cache = File(folder, "cache")
    val files = AssetFiles(cache) { File(folder, it).inputStream() }
    fun names() = JSONArray(cache.list().orEmpty().sorted())
    val made = listOf("a", "b").map { Manifest.read(files, it).modelOnDisk() }
    val again = Manifest.read(files, "a").modelOnDisk()
    val said = JSONObject().put("texts", JSONArray(made.map { it.readText() })).put("both", names())
    said.put("copied_once", again == made.first() && again.lastModified() == made.first().lastModified())
    files.keepOnly(listOf(Manifest.read(files, "b")))
    return said.put("kept", names())
}

/** The self-test of each bundled model with the outputs in the folder `stand-in/MODEL`. */
fun golden(folder: File): JSONObject {
    val said = JSONObject()
    for (model in BundledModel.all(FolderFiles(folder))) {
        val (_, found) = tested(folder, model)
        val outputs = JSONObject()
        for (output in found.outputs) {
            val finite = output.sqnrDb.takeIf { it.isFinite() }
            val judged = JSONArray(listOf(finite ?: output.sqnrDb.toString(), output.passed ?: JSONObject.NULL))
            outputs.put(output.name, judged)
        }
        val record = JSONObject().put("passed", found.passed).put("canary", found.canary ?: JSONObject.NULL)
        record.put("loads", JSONArray(listOf(found.coldMs) + found.warmMs)).put("grey_levels", found.greyLevels)
        said.put(model.folder, record.put("outputs", outputs))
    }
    return said
}

private fun tested(folder: File, model: BundledModel): Pair<Manifest, GoldenResult> {
    val manifest = Manifest.read(FolderFiles(folder), model.folder)
    val files = File(folder, "stand-in/${model.folder}")
    val record = JSONObject(File(files, "photo.json").readText())
    val test = GoldenTest(manifest, model.leastSqnrDb) { photo(record, files) }
    return manifest to test.run { StandIn(manifest, files) }
}

/** Writes bench.json of all bundled models, as an app shares it. Returns: how many calls each made. */
fun bench(folder: File): JSONObject {
    val keys = "emulated os os_version manufacturer model soc abi cores ram_bytes battery_percent charging governor"
    val device = JSONObject().put("name", "JVM").put("kind", "app")
    for (key in keys.split(" ")) device.put(key, JSONObject.NULL)
    val results = BundledModel.all(FolderFiles(folder)).associate { model ->
        val (manifest, found) = tested(folder, model)
        val stand = File(folder, "stand-in/${model.folder}")
        model.folder to Benchmark(manifest).run(found, device) { StandIn(manifest, stand) }
    }
    File(folder, "bench.json").writeText(JSONArray(results.values).toString(1))
    return JSONObject(results.mapValues { (_, result) -> result.getJSONObject("latency").getInt("count") })
}
