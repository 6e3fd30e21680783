package mobilekit

import java.io.Closeable

/** A loaded model file. */
interface ModelRunner : Closeable {
    /** The runtime and what computes, such as "LiteRT GPU". */
    val name: String

    /** The threads that it was told to compute on; null where the unit takes none. */
    val threads: Int?

    /** Runs it once.
     *
     * inputs: raw little-endian values by name, of every input. Returns: every output by name, as floats.
     * Throws: MobileKitException.
     */
    fun run(inputs: Map<String, ByteArray>): Map<String, FloatArray>

    companion object {
        const val CPU = "CPU"
        const val GPU = "GPU"

        /** What an artifact can be computed on. Throws: MobileKitException for a file of another platform. */
        fun units(manifest: Manifest): List<String> = when (manifest.target) {
            "tflite" -> listOf(CPU, GPU)
            "executorch" -> listOf(manifest.backend ?: CPU)
            else -> throw MobileKitException(
                "${manifest.folder}: ${manifest.target} doesn't run on Android. Export tflite."
            )
        }

        /** Loads an artifact's file. Throws: MobileKitException where it is missing, broken or refused by the unit. */
        fun open(manifest: Manifest, unit: String, threads: Int): ModelRunner {
            if (unit !in units(manifest)) {
                throw MobileKitException("${manifest.folder}: can't run on $unit. Choose of ${units(manifest)}.")
            }
            return if (manifest.target == "tflite") LiteRtRunner(manifest, unit, threads)
            else ExecuTorchRunner(manifest, unit, threads)
        }
    }
}

/** Calls a runtime, whose exceptions and missing libraries become one line. */
internal inline fun <T> calling(what: String, call: () -> T): T =
    try {
        withMemory(what, call)
    } catch (error: MobileKitException) {
        throw error
    } catch (error: LinkageError) {
        throw MobileKitException("$what: its runtime isn't in this app or device (${error.message}).", error)
    } catch (error: Exception) {
        val reason = error.message?.lineSequence()?.first() ?: error.javaClass.simpleName
        throw MobileKitException("$what: failed ($reason). Bundle the app again, or choose another unit.", error)
    }
