package mobilekit.app

import androidx.compose.ui.graphics.ImageBitmap
import androidx.compose.ui.graphics.asImageBitmap
import mobilekit.Answer
import mobilekit.ClassMap
import mobilekit.Feature
import mobilekit.ModelRunner
import mobilekit.Photo
import mobilekit.PostProcessor
import mobilekit.Preprocessor

/** What a model says of a photo. */
sealed interface Reading {
    class Classes(val best: List<Answer>) : Reading

    class Values(val values: List<Answer>) : Reading

    class Segments(val map: ClassMap, val shares: List<Answer>) : Reading

    class Features(val features: List<Feature>) : Reading
}

/** Milliseconds of a photo's way: through the geometry, the file, and the reading of its outputs. */
class Latency(val geometryMs: Double, val inferenceMs: Double, val readingMs: Double)

/** The answer to a photo: [seen] is what the network saw of it, [overlay] has its pixels' classes, if it names any.
 *
 * [runner]: what computed it.
 */
class Answered(
    val seen: ImageBitmap,
    val overlay: ImageBitmap?,
    val reading: Reading,
    val latency: Latency,
    val runner: String,
)

/** Runs models, of which one at a time is loaded. Calls from several threads wait for each other. */
class Engine(private val threads: Int) {
    private class Loaded(val choice: Choice, val runner: ModelRunner, val further: Map<String, ByteArray>)

    @Volatile
    private var loaded: Loaded? = null

    /** Whether a file is loaded. It waits for nothing. */
    val holds: Boolean get() = loaded != null

    /** Answers a photo, after loading the file where another was. Throws: MobileKitException. */
    @Synchronized
    fun answer(choice: Choice, photo: Photo): Answered {
        val manifest = choice.model.manifest
        val ready = loaded(choice)
        val start = System.nanoTime()
        val preprocessor = Preprocessor(manifest.preprocess)
        val picture = preprocessor.geometry(photo)
        // Inputs beside the image, such as noise, keep their golden values.
        val inputs = ready.further + (manifest.image.name to preprocessor.entering(picture))
        val entered = System.nanoTime()
        val outputs = ready.runner.run(inputs)
        val computed = System.nanoTime()
        val reading = reading(choice.model, outputs)
        val latency = Latency(ms(start, entered), ms(entered, computed), ms(computed, System.nanoTime()))
        // Made here, where a phone without the memory for them gets a line.
        val overlay = (reading as? Reading.Segments)?.map?.bitmap()?.asImageBitmap()
        return Answered(picture.bitmap().asImageBitmap(), overlay, reading, latency, ready.runner.name)
    }

    /** Does work that loads files itself, and is measured: nothing else is loaded or running meanwhile. */
    @Synchronized
    fun <T> alone(work: (open: (Choice) -> ModelRunner) -> T): T {
        drop()
        return work(::open)
    }

    /** Lets go of the loaded file. Returns: whether there was one. */
    @Synchronized
    fun drop(): Boolean {
        val dropped = loaded ?: return false
        loaded = null
        dropped.runner.close()
        return true
    }

    private fun loaded(choice: Choice): Loaded {
        loaded?.takeIf { it.choice == choice }?.let { return it }
        drop()
        val manifest = choice.model.manifest
        return Loaded(choice, open(choice), manifest.golden(manifest.further)).also { loaded = it }
    }

    private fun open(choice: Choice): ModelRunner = ModelRunner.open(choice.model.manifest, choice.unit, threads)

    private fun reading(model: Model, outputs: Map<String, FloatArray>): Reading {
        val reader = PostProcessor(model.manifest)
        return when (model.kind) {
            Kind.CLASSES ->
                if (reader.predictsValues) Reading.Values(reader.values(outputs))
                else Reading.Classes(reader.best(outputs))
            Kind.MAP -> reader.classMap(outputs).let { Reading.Segments(it, reader.shares(it)) }
            Kind.FEATURES -> Reading.Features(reader.features(outputs))
        }
    }

    private fun ms(from: Long, until: Long): Double = (until - from) / 1e6
}
