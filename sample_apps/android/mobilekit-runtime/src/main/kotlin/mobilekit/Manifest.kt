package mobilekit

import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** What a manifest says of an input or output; [meaning] is null of inputs. */
class TensorRecord internal constructor(record: JSONObject) {
    val name: String = record.getString("name")
    val shape: List<Int> = record.getJSONArray("shape").let { List(it.length(), it::getInt) }
    val dtype: String = record.getString("dtype")
    val meaning: String? = record.textOrNull("meaning")
    val golden: String = record.getString("golden")
    val size: Int get() = shape.fold(1, Int::times)

    /** Bytes that its values take. Throws: MobileKitException for a type that isn't known. */
    val bytes: Int
        get() = size * when (dtype) {
            "float32", "int32" -> 4
            "int64" -> 8
            "uint8" -> 1
            else -> throw strange()
        }

    /** Reads raw little-endian values as floats. Throws: MobileKitException where there are too few or many. */
    fun floats(raw: ByteArray): FloatArray {
        if (raw.size != bytes) {
            throw MobileKitException("$golden: has ${raw.size} bytes, not $bytes. Bundle the app again.")
        }
        val values = ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN)
        return FloatArray(size) {
            when (dtype) {
                "float32" -> values.getFloat(4 * it)
                "int32" -> values.getInt(4 * it).toFloat()
                "int64" -> values.getLong(8 * it).toFloat()
                else -> (values.get(it).toInt() and 255).toFloat()
            }
        }
    }

    internal fun strange() = MobileKitException("$name: values of type $dtype aren't known here. Update the app.")
}

/** The app's part of the work on a photo, and the arithmetic where the file doesn't do it. Sizes: (height, width). */
class Preprocess internal constructor(record: JSONObject) {
    private val resize: JSONObject? = record.optJSONObject("resize")
    private val crop: Pair<Int, Int>? = record.optJSONArray("crop")?.let { it.getInt(0) to it.getInt(1) }
    val shortestEdge: Int? = resize?.takeIf { it.has("shortest_edge") }?.getInt("shortest_edge")
    val size: Pair<Int, Int>? =
        resize?.takeIf { shortestEdge == null }?.let { it.getInt("height") to it.getInt("width") }
    val resample: String = record.getString("resample")
    val channelOrder: String = record.getString("channel_order")
    val scale: Double = record.getDouble("scale")
    val mean: List<Double> = record.getJSONArray("mean").doubles()
    val std: List<Double> = record.getJSONArray("std").doubles()
    val inGraph: Boolean = record.getBoolean("in_graph")
    val channels: Int get() = mean.size
    val resizes: Boolean get() = resize != null

    init {
        val rounding = record.getString("rounding")
        if (rounding != "truncate") throw unknown("rounding $rounding")
    }

    /** (height, width) of what the network takes. */
    val imageSize: Pair<Int, Int>
        get() = crop ?: size ?: throw MobileKitException("preprocess: leaves the size open. Export the model again.")

    /** (height, width) that a photo is resized to before the crop; the longer side is truncated, not rounded.
     *
     * Throws: MobileKitException for a photo that is too narrow.
     */
    fun resizedTo(height: Int, width: Int): Pair<Int, Int> {
        val short = shortestEdge ?: return size ?: (height to width)
        val long = short.toLong() * maxOf(height, width) / minOf(height, width)
        if (short * long > MOST_PIXELS) {
            throw MobileKitException("photo of $width x $height: too narrow for a short side of $short. Crop it first.")
        }
        return if (width <= height) long.toInt() to short else short to long.toInt()
    }
}

private const val MOST_PIXELS = 178_000_000L

/** An artifact: its manifest.json, and its files, which lie in [folder] of [files]. */
class Manifest private constructor(val files: Files, val folder: String, private val data: JSONObject) {
    val target: String = data.getString("target")
    val backend: String? = data.textOrNull("backend")
    val recipe: String = data.getJSONObject("recipe").getString("name")
    val family: String = data.getJSONObject("model").getString("family")
    val head: String = data.getJSONObject("model").getString("head")
    val source: String = data.getJSONObject("model").getString("source")

    /** What makes scores of a classifier's logits: "softmax" where one class is right, "sigmoid" where each is or isn't
     * by itself, "none" where they are a regression's values. Version 1 of a manifest knew no other than softmax.
     */
    val activation: String? =
        (if (data.getInt("schema_version") == 1) "softmax" else data.getJSONObject("model").textOrNull("activation"))
        .also { if (it != "softmax" && it != "sigmoid" && it != "none" && it != null) throw unknown("activation $it") }

    // As many as a byte tells apart, where a checkpoint doesn't say.
    val numLabels: Int = data.getJSONObject("model").optInt("num_labels", 256)
    val modelFile: String = data.getString("model_file")

    // Null of a package, which another platform's models are.
    private val modelRecord: JSONObject? = data.getJSONObject("files").optJSONObject(modelFile)
    val modelSha256: String? = modelRecord?.getString("sha256")
    val modelBytes: Long? = modelRecord?.getLong("bytes")

    val inputs: List<TensorRecord> = data.getJSONArray("inputs").objects().map(::TensorRecord)
    val outputs: List<TensorRecord> = data.getJSONArray("outputs").objects().map(::TensorRecord)

    /** The input that is made of a photo; [further] ones, such as noise, keep their golden values. */
    val image: TensorRecord get() = inputs.first()
    val further: List<TensorRecord> get() = inputs.drop(1)
    val preprocess: Preprocess = Preprocess(data.getJSONObject("preprocess"))

    /** The class names; null where the checkpoint has none. */
    val labels: List<String>? by lazy {
        if (!data.getJSONObject("files").has(LABELS)) null
        else String(read(LABELS), Charsets.UTF_8).removeSuffix("\n").split("\n")
    }

    fun read(name: String): ByteArray = files.read("$folder/$name")

    /** The model's file on disk. Throws: MobileKitException where it isn't whole, or there is no room for it. */
    fun modelOnDisk(): File {
        val file = try {
            modelSha256?.let { files.onDisk("$folder/$modelFile", it) }
        } catch (error: IOException) {
            val way = "Free some storage, or bundle the app again."
            throw MobileKitException("$folder/$modelFile: can't be copied (${error.message}). $way", error)
        }
        if (file == null || file.length() != modelBytes) {
            throw MobileKitException("$folder/$modelFile: is missing or torn. Bundle the app again.")
        }
        return file
    }

    fun label(index: Int): String = labels?.getOrNull(index) ?: "class $index"

    /** The golden values of inputs, as they enter the file. */
    fun golden(inputs: List<TensorRecord>): Map<String, ByteArray> = inputs.associate { it.name to read(it.golden) }

    companion object {
        private const val LABELS = "labels.txt"

        /** Reads the artifact in a folder. Throws: MobileKitException where it is missing, broken or unknown. */
        fun read(files: Files, folder: String): Manifest {
            val path = "$folder/manifest.json"
            return parsed(path, files.read(path), 2) { Manifest(files, folder, it) }
        }
    }
}

/** A line of models.json: [leastSqnrDb] says, by an output's name, what the self-test holds it against. */
class BundledModel(val folder: String, val title: String, val leastSqnrDb: Map<String, Double>) {
    companion object {
        /** Reads models.json. Throws: MobileKitException where it is missing, broken, unknown or empty. */
        fun all(files: Files): List<BundledModel> {
            val models = parsed("models.json", files.read("models.json"), 1) { index ->
                index.getJSONArray("models").objects().map { model ->
                    val least = model.getJSONObject("least_sqnr_db")
                    val bounds = least.keys().asSequence().associateWith { least.getDouble(it) }
                    BundledModel(model.getString("folder"), model.getString("title"), bounds)
                }
            }
            return models.ifEmpty { throw MobileKitException("models.json: names no model. Bundle the app again.") }
        }
    }
}

private fun <T> parsed(path: String, bytes: ByteArray, newest: Int, read: (JSONObject) -> T): T =
    try {
        val data = JSONObject(String(bytes, Charsets.UTF_8))
        val version = data.opt("schema_version")
        if (version as? Int !in 1..newest) {
            throw MobileKitException("$path: schema version $version is unknown. Known: up to $newest. Update the app.")
        }
        read(data)
    } catch (error: JSONException) {
        throw MobileKitException("$path: isn't as the kit writes it (${error.message}). Bundle the app again.", error)
    }

private fun unknown(what: String) = JSONException("$what is not known here")

private fun JSONObject.textOrNull(key: String): String? = if (isNull(key)) null else getString(key)

private fun JSONArray.objects(): List<JSONObject> = List(length(), ::getJSONObject)

private fun JSONArray.doubles(): List<Double> = List(length(), ::getDouble)
