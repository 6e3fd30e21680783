package mobilekit

import org.pytorch.executorch.DType
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** Runs a .pte with ExecuTorch, on the backend it was lowered for; the file is mapped into memory. */
class ExecuTorchRunner(private val manifest: Manifest, unit: String, override val threads: Int) : ModelRunner {
    override val name = "ExecuTorch $unit"

    // The module reads these in place: bytes of their own, which no garbage collection moves.
    private val buffers = manifest.inputs.associate { it.name to Tensor.allocateByteBuffer(it.bytes) }
    private val arguments = manifest.inputs.map { EValue.from(tensor(it)) }.toTypedArray()
    private val module: Module = calling("${manifest.folder} on $name") { loaded(threads) }

    override fun run(inputs: Map<String, ByteArray>): Map<String, FloatArray> = calling(name) {
        for ((name, buffer) in buffers) {
            buffer.rewind()
            buffer.put(inputs.getValue(name))
            buffer.rewind()
        }
        // The file's outputs have no names; a manifest has them in the file's order.
        val results = module.execute(METHOD, *arguments)
        check(results.size == manifest.outputs.size) { "${results.size} outputs of ${manifest.outputs.size}" }
        manifest.outputs.zip(results.asList()).associate { (record, value) ->
            record.name to floats(record, value.toTensor())
        }
    }

    override fun close() = module.destroy()

    private fun loaded(threads: Int): Module {
        val module = Module.load(manifest.modelOnDisk().path, Module.LOAD_MODE_MMAP, threads)
        try {
            // An error is a code that is returned up to ExecuTorch 1.0, and thrown by later ones, which return nothing.
            val code: Any? = module.loadMethod(METHOD)
            check(code !is Int || code == 0) { "error $code where its method is loaded" }
        } catch (error: Exception) {
            module.destroy()
            throw error
        }
        return module
    }

    private fun tensor(record: TensorRecord): Tensor {
        val shape = LongArray(record.shape.size) { record.shape[it].toLong() }
        val buffer = buffers.getValue(record.name)
        return when (record.dtype) {
            "uint8" -> Tensor.fromBlobUnsigned(buffer, shape)
            "float32" -> Tensor.fromBlob(buffer.asFloatBuffer(), shape)
            else -> throw record.strange()
        }
    }

    private fun floats(record: TensorRecord, tensor: Tensor): FloatArray = when (tensor.dtype()) {
        DType.FLOAT -> tensor.dataAsFloatArray
        DType.INT32 -> tensor.dataAsIntArray.let { values -> FloatArray(values.size) { values[it].toFloat() } }
        DType.INT64 -> tensor.dataAsLongArray.let { values -> FloatArray(values.size) { values[it].toFloat() } }
        else -> throw record.strange()
    }

    private companion object {
        const val METHOD = "forward"
    }
}
