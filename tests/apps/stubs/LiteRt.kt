// The part of LiteRT 2's Kotlin interface that the app uses, with the same signatures. Behind it are models of text that
// tests write: {"gpu": "all" | "some" | "none", "inputs": {name: bytes}, "outputs": {name: [numbers]}}. A model turns its
// outputs by the first byte of its image, and adds the first number of its noise. "gpu": what a GPU takes.
package com.google.ai.edge.litert

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONException
import org.json.JSONObject

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

class Environment private constructor() : AutoCloseable {
    internal var hasGpu = false
    internal var closed = false

    fun getAvailableAccelerators(): Set<Accelerator> =
        if (hasGpu) setOf(Accelerator.CPU, Accelerator.GPU) else setOf(Accelerator.CPU)

    override fun close() {
        check(!closed)
        closed = true
    }

    companion object {
        @JvmStatic
        fun create(): Environment = Environment()
    }
}

class TensorBuffer internal constructor(size: Int) : AutoCloseable {
    internal val bytes: ByteBuffer = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN)
    private var closed = false

    fun writeFloat(data: FloatArray) = data.forEachIndexed { place, value -> bytes.putFloat(4 * place, value) }

    fun writeInt8(data: ByteArray) = data.forEachIndexed { place, value -> bytes.put(place, value) }

    fun readFloat(): FloatArray = FloatArray(bytes.capacity() / 4) { bytes.getFloat(4 * it) }

    fun readInt(): IntArray = IntArray(bytes.capacity() / 4) { bytes.getFloat(4 * it).toInt() }

    override fun close() {
        check(!closed)
        closed = true
    }
}

class CompiledModel private constructor(private val model: JSONObject, private val env: Environment) : AutoCloseable {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(internal vararg val accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null
    }

    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer {
        check(signature == null)
        return TensorBuffer(model.getJSONObject("inputs").getInt(inputName))
    }

    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer {
        check(signature == null)
        return TensorBuffer(4 * model.getJSONObject("outputs").getJSONArray(outputName).length())
    }

    fun run(inputs: Map<String, TensorBuffer>, outputs: Map<String, TensorBuffer>, signature: String? = null) {
        check(signature == null)
        val turned = inputs.getValue("image").bytes.get(0)
        val added = inputs["noise"]?.bytes?.getFloat(0) ?: 0f
        for ((name, buffer) in outputs) {
            val values = model.getJSONObject("outputs").getJSONArray(name)
            val places = 0 until values.length()
            buffer.writeFloat(FloatArray(values.length()) {
                values.getDouble((it + turned) % places.count()).toFloat() + added
            })
        }
    }

    override fun close() = check(!env.closed)

    companion object {
        @JvmOverloads
        @JvmStatic
        fun create(filePath: String, options: Options, optionalEnv: Environment? = null): CompiledModel {
            val model = try {
                JSONObject(File(filePath).readText())
            } catch (error: JSONException) {
                throw LiteRtException("Failed to create model from file.\n$error")
            }
            val env = optionalEnv ?: Environment.create()
            env.hasGpu = model.getString("gpu") != "none"
            if (Accelerator.CPU !in options.accelerators && model.getString("gpu") != "all") {
                throw LiteRtException("Failed to compile model.")
            }
            return CompiledModel(model, env)
        }
    }
}
