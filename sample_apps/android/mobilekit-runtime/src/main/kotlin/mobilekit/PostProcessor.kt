package mobilekit

import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.roundToInt
import kotlin.math.sqrt

/** A class with its probability, its share of the pixels, or, of a regression, a value with its name. */
class Answer(val index: Int, val label: String, val score: Double)

/** The class of each pixel, row by row. */
class ClassMap(val width: Int, val height: Int, val classes: IntArray) {
    /** An opaque pixel each, in the classes' colours. */
    fun colors(): IntArray {
        val palette = IntArray(classes.max() + 1, ::classColor)
        return IntArray(classes.size) { palette[classes[it]] }
    }
}

/** What is known of an output that names no classes: its L2 norm. */
class Feature(val name: String, val shape: List<Int>, val norm: Double)

/** Reads a file's outputs. All of it throws MobileKitException where they aren't finite numbers. */
class PostProcessor(private val manifest: Manifest) {
    private val imageSize = manifest.preprocess.imageSize

    val classifies: Boolean get() = manifest.head == "classification"
    val segments: Boolean get() = manifest.head == "segmentation"

    /** Whether its numbers are no scores of classes, but values. */
    val predictsValues: Boolean get() = manifest.activation == "none"

    /** The best classes of a classification, best first. Where each is right or not by itself, they don't sum to 1. */
    fun best(outputs: Map<String, FloatArray>, count: Int = BEST): List<Answer> {
        val given = meant(outputs, "probabilities")
        if (given != null) return ranked(DoubleArray(given.size) { given[it].toDouble() }, count)
        val logits = meant(outputs, "logits") ?: throw strange()
        return ranked(if (manifest.activation == "sigmoid") sigmoid(logits) else softmax(logits), count)
    }

    /** All values of a regression, in their order. */
    fun values(outputs: Map<String, FloatArray>): List<Answer> = (meant(outputs, "values") ?: throw strange())
        .mapIndexed { index, value -> Answer(index, manifest.label(index), value.toDouble()) }

    /** The class of each pixel of a segmentation, in the size of the file's own map. */
    fun classMap(outputs: Map<String, FloatArray>): ClassMap {
        checked(outputs)
        outputs["mask"]?.let { mask ->
            val (height, width) = shape("mask").drop(1)
            return ClassMap(width, height, IntArray(mask.size) { named(mask[it].toInt()) })
        }
        outputs["segmenter"]?.let { scores ->
            val (height, width, classes) = shape("segmenter").drop(1)
            val found = greatest(height * width, classes) { place, k -> scores[place * classes + k] }
            return ClassMap(width, height, found)
        }
        return fromPlanes(outputs["logits"] ?: throw strange(), shape("logits"))
    }

    /** All classes of a map that a legend names, by their share of the pixels, greatest first. */
    fun shares(map: ClassMap): List<Answer> {
        val pixels = IntArray(map.classes.max() + 1)
        for (index in map.classes) pixels[index]++
        val shares = DoubleArray(pixels.size) { pixels[it].toDouble() / map.classes.size }
        return ranked(shares, shares.size).filter { it.score >= LEAST_SHARE }
    }

    /** Shapes and norms of all outputs, for heads that name no classes. */
    fun features(outputs: Map<String, FloatArray>): List<Feature> {
        checked(outputs)
        return manifest.outputs.map {
            Feature(it.name, it.shape, sqrt(outputs.getValue(it.name).sumOf { value -> value.toDouble() * value }))
        }
    }

    private fun fromPlanes(logits: FloatArray, shape: List<Int>): ClassMap {
        val (classes, height, width) = shape.drop(1)
        val (tall, wide) = imageSize
        // Bilinear without aligned corners, as Hugging Face's post_process_semantic_segmentation resizes logits.
        val across = Weights(Filter.BILINEAR, width, wide)
        val down = Weights(Filter.BILINEAR, height, tall)
        val planes = withMemory("map of $wide x $tall and $classes classes") {
            List(classes) { k ->
                val area = height * width
                resizePlane(logits.copyOfRange(k * area, (k + 1) * area), width, across, down)
            }
        }
        return ClassMap(wide, tall, greatest(tall * wide, classes) { place, k -> planes[k][place] })
    }

    private inline fun greatest(pixels: Int, classes: Int, score: (Int, Int) -> Float): IntArray = IntArray(pixels) {
        var best = 0
        for (k in 1 until classes) if (score(it, k) > score(it, best)) best = k
        best
    }

    private fun ranked(scores: DoubleArray, count: Int): List<Answer> =
        scores.indices.sortedByDescending { scores[it] }.take(count).map { Answer(it, manifest.label(it), scores[it]) }

    private fun sigmoid(logits: FloatArray) = DoubleArray(logits.size) { 1 / (1 + exp(-logits[it].toDouble())) }

    private fun softmax(logits: FloatArray): DoubleArray {
        val most = logits.max()
        val weights = DoubleArray(logits.size) { exp(logits[it].toDouble() - most) }
        val sum = weights.sum()
        return DoubleArray(weights.size) { weights[it] / sum }
    }

    private fun meant(outputs: Map<String, FloatArray>, meaning: String): FloatArray? {
        checked(outputs)
        return manifest.outputs.find { it.meaning == meaning }?.let { outputs.getValue(it.name) }
    }

    private fun checked(outputs: Map<String, FloatArray>) {
        val (name) = outputs.entries.find { (_, values) -> !values.all(Float::isFinite) } ?: return
        throw MobileKitException("${manifest.folder}: its $name aren't finite numbers. Try fp32, or the CPU.")
    }

    private fun named(index: Int): Int = index.takeIf { it in 0 until manifest.numLabels } ?: throw MobileKitException(
        "${manifest.folder}: its mask names class $index, and it has ${manifest.numLabels}. Export the model again."
    )

    private fun shape(name: String): List<Int> = manifest.outputs.first { it.name == name }.shape

    private fun strange() =
        MobileKitException("${manifest.folder}: has no output of a ${manifest.head}. Export the model again.")

    companion object {
        const val BEST = 5

        // As the kit's own legend (mobile_kit/evaluation/predict.py, LEAST_SHARE).
        private const val LEAST_SHARE = 0.002
    }
}

/** A class's colour, far from its neighbours': golden-ratio steps of hue; class 0, the background, is black. */
fun classColor(index: Int): Int {
    if (index == 0) return 0xff shl 24
    val hue = index * 0.618034 % 1 * 6
    val sector = floor(hue)
    val part = hue - sector
    val (low, falling, rising) = listOf(1.0, part, 1 - part).map { LIGHT * (1 - STRENGTH * it) }
    val (red, green, blue) = when (sector.toInt()) {
        0 -> listOf(LIGHT, rising, low)
        1 -> listOf(falling, LIGHT, low)
        2 -> listOf(low, LIGHT, rising)
        3 -> listOf(low, falling, LIGHT)
        4 -> listOf(rising, low, LIGHT)
        else -> listOf(LIGHT, low, falling)
    }.map { (it * 255).roundToInt() }
    return (0xff shl 24) or (red shl 16) or (green shl 8) or blue
}

private const val STRENGTH = 0.75
private const val LIGHT = 0.95
