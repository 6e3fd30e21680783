package mobilekit

import org.pytorch.executorch.DType
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** Runs a .pte with ExecuTorch, on the backend it was lowered for; the file is mapped into memory. */
class ExecuTorchRunner(private val manifest: Manifest, unit: String, threads: Int) : ModelRunner {
    override val name = "ExecuTorch $unit"
    private val module: Module = calling("${manifest.folder} on $name") {
        Module.load(manifest.modelOnDisk().path, Module.LOAD_MODE_MMAP, threads).also { loaded ->
            // An error is a code that is returned up to ExecuTorch 1.0, and thrown by later ones, which return nothing.
            val code: Any? = loaded.loadMethod(METHOD)
            if (code is Int && code != 0) {
                loaded.destroy()
                throw IllegalStateException("error $code where its method is loaded")
            }
        }
    }

    // The module reads these in place: bytes of their own, which no garbage collection moves.
    private val buffers = manifest.inputs.associate { it.name to Tensor.allocateByteBuffer(it.bytes) }
    private val arguments = manifest.inputs.map { EValue.from(tensor(it)) }.toTypedArray()

    override fun run(inputs: Map<String, ByteArray>): Map<String, FloatArray> = calling(name) {
        for ((name, buffer) in buffers) {
            buffer.rewind()
            buffer.put(inputs.getValue(name))
            buffer.rewind()
        }
        val results = module.execute(METHOD, *arguments)
        manifest.outputs.zip(results.asList()).associate { (record, value) -> record.name to floats(value.toTensor()) }
    }

    override fun close() = module.destroy()

    private fun tensor(record: TensorRecord): Tensor {
        val shape = LongArray(record.shape.size) { record.shape[it].toLong() }
        val buffer = buffers.getValue(record.name)
        return if (record.dtype == "uint8") Tensor.fromBlobUnsigned(buffer, shape)
        else Tensor.fromBlob(buffer.asFloatBuffer(), shape)
    }

    private fun floats(tensor: Tensor): FloatArray = when (tensor.dtype()) {
        DType.FLOAT -> tensor.dataAsFloatArray
        DType.INT32 -> tensor.dataAsIntArray.let { values -> FloatArray(values.size) { values[it].toFloat() } }
        DType.INT64 -> tensor.dataAsLongArray.let { values -> FloatArray(values.size) { values[it].toFloat() } }
        else -> throw MobileKitException("output: ${tensor.dtype()} isn't known here. Update the app.")
    }

    private companion object {
        const val METHOD = "forward"
    }
}
