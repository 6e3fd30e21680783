package mobilekit

import kotlin.math.abs
import kotlin.math.log10

/** An output held against the checkpoint's: [leastDb] and [passed] are null where it isn't judged. */
class OutputCheck(val name: String, val sqnrDb: Double, val leastDb: Double?) {
    val passed: Boolean? = leastDb?.let { sqnrDb >= it }
}

/** What the self-test of an artifact on one runner and unit found.
 *
 * greyLevels: how far the golden photo, through the app's geometry, is from the golden input. canary: whether the test
 * fails with red and blue swapped, as it must; null where there are no colours. Loads in milliseconds: the first, and
 * those after it.
 */
class GoldenResult(
    val runner: String,
    val greyLevels: Double,
    val outputs: List<OutputCheck>,
    val canary: Boolean?,
    val coldMs: Double,
    val warmMs: List<Double>,
) {
    val passed: Boolean = greyLevels <= MOST_GREY_LEVELS && held(outputs) && canary != false

    companion object {
        // In float32, one level of a normalised pixel isn't exactly one.
        const val MOST_GREY_LEVELS = 1.001

        /** Whether an output is judged, and none of them fails. */
        internal fun held(outputs: List<OutputCheck>): Boolean =
            outputs.any { it.passed == true } && outputs.none { it.passed == false }
    }
}

/** Proves on the phone that a file computes what the checkpoint computes.
 *
 * leastSqnrDb: of the outputs that are judged, as models.json has them. decode: of the golden photo.
 */
class GoldenTest(
    private val manifest: Manifest,
    private val leastSqnrDb: Map<String, Double>,
    private val decode: (ByteArray) -> Photo = Photo::decode,
) {
    private val image = manifest.image
    private val work = manifest.preprocess
    private val preprocessor = Preprocessor(work)

    init {
        val unknown = leastSqnrDb.keys - manifest.outputs.map { it.name }.toSet()
        if (unknown.isNotEmpty()) {
            throw MobileKitException("${manifest.folder}: has no output $unknown to judge. Bundle the app again.")
        }
    }

    /** Loads the file [WARM_LOADS] times more than once, and tests it. Throws: MobileKitException. */
    fun run(open: () -> ModelRunner): GoldenResult {
        manifest.modelOnDisk() // Loading isn't to include that it is copied out of the app.
        val loads = ArrayList<Double>()
        repeat(WARM_LOADS) { timed(loads, open).close() }
        return timed(loads, open).use { runner ->
            val inputs = manifest.golden(manifest.inputs)
            val outputs = judged(runner.run(inputs))
            val canary = swapped(decode(manifest.read(PHOTO)))?.let { other ->
                !GoldenResult.held(judged(runner.run(inputs + (image.name to other))))
            }
            GoldenResult(runner.name, greyLevels(), outputs, canary, loads.first(), loads.drop(1))
        }
    }

    /** The largest difference between the golden photo through our geometry and the golden input, in grey levels. */
    fun greyLevels(): Double {
        val ours = image.floats(entering(decode(manifest.read(PHOTO))))
        val golden = image.floats(manifest.read(image.golden))
        val area = golden.size / work.channels
        return golden.indices.maxOf { place ->
            val level = if (work.inGraph) 1.0 else work.scale / work.std[place / area]
            abs(ours[place] - golden[place]) / level
        }
    }

    private fun judged(outputs: Map<String, FloatArray>): List<OutputCheck> = manifest.outputs.map { record ->
        val golden = record.floats(manifest.read(record.golden))
        val values = outputs.getValue(record.name)
        if (values.size != golden.size) {
            throw MobileKitException("${record.name}: gave ${values.size} values of ${golden.size}. Export it again.")
        }
        OutputCheck(record.name, sqnrDb(golden, values, record.dtype.startsWith("int")), leastSqnrDb[record.name])
    }

    /** The image input of a photo with red and blue swapped; null where there is nothing to swap. */
    private fun swapped(photo: Photo): ByteArray? {
        if (work.channels != 3) return null
        val argb = IntArray(photo.argb.size) { at ->
            val pixel = photo.argb[at]
            pixel and 0xff00ff00.toInt() or (pixel and 255 shl 16) or (pixel shr 16 and 255)
        }
        return entering(Photo(photo.width, photo.height, argb)).takeUnless { it.contentEquals(entering(photo)) }
    }

    private fun entering(photo: Photo): ByteArray = preprocessor.entering(preprocessor.geometry(photo))

    private fun timed(loads: MutableList<Double>, open: () -> ModelRunner): ModelRunner {
        val start = System.nanoTime()
        return open().also { loads += (System.nanoTime() - start) / 1e6 }
    }

    companion object {
        const val WARM_LOADS = 2
        const val PHOTO = "golden/photo.png"

        /** Signal over noise in decibels; infinite where there is no noise, not a number where a value isn't one.
         *
         * classes: a map of classes counts as planes of ones and zeros, one a class: a wrong pixel is wrong in two.
         */
        fun sqnrDb(golden: FloatArray, values: FloatArray, classes: Boolean = false): Double {
            val signal = if (classes) golden.size.toDouble() else golden.sumOf { it.toDouble() * it }
            val errors = golden.indices.asSequence().map { golden[it].toDouble() - values[it] }
            val noise = errors.sumOf { if (classes && it != 0.0) 2.0 else it * it }
            return if (noise == 0.0) Double.POSITIVE_INFINITY else 10 * log10(signal / noise)
        }
    }
}
