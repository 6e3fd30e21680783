// The part of LiteRT 2's Kotlin interface that the app uses, with the same signatures and no work behind it.
package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

class Environment private constructor() : AutoCloseable {
    override fun close() = Unit
}

class TensorBuffer internal constructor() : AutoCloseable {
    fun writeFloat(data: FloatArray): Unit = stub(data)

    fun writeInt8(data: ByteArray): Unit = stub(data)

    fun readFloat(): FloatArray = stub()

    fun readInt(): IntArray = stub()

    override fun close(): Unit = stub()
}

class CompiledModel private constructor() : AutoCloseable {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(internal vararg val accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null

        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer = stub(inputName, signature)

    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer = stub(outputName, signature)

    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String? = null,
    ): Unit = stub(inputs, outputs, signature)

    override fun close(): Unit = stub()

    companion object {
        @JvmOverloads
        @JvmStatic
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel = stub(assetManager, assetName, options, optionalEnv)

        @JvmOverloads
        @JvmStatic
        fun create(filePath: String, options: Options = Options.CPU, optionalEnv: Environment? = null): CompiledModel =
            stub(filePath, options, optionalEnv)
    }
}

private fun stub(vararg given: Any?): Nothing = throw LiteRtException("no runtime here to take ${given.asList()}")
