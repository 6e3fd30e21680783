package mobilekit

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.TensorBuffer

/** Runs a .tflite with LiteRT, on the CPU (XNNPACK), or on the GPU with the CPU for what that refuses.
 *
 * An uncompressed asset is mapped into memory, not copied.
 */
class LiteRtRunner(private val manifest: Manifest, unit: String, threads: Int) : ModelRunner {
    override val name = "LiteRT $unit"
    private val model: CompiledModel
    private val inputs: Map<String, TensorBuffer>
    private val outputs: Map<String, TensorBuffer>

    init {
        val opened = calling("${manifest.folder} on $name") { load(unit, threads) }
        model = opened
        inputs = buffers(manifest.inputs) { opened.createInputBuffer(it) }
        outputs = buffers(manifest.outputs) { opened.createOutputBuffer(it) }
    }

    override fun run(inputs: Map<String, ByteArray>): Map<String, FloatArray> = calling(name) {
        for (record in manifest.inputs) write(record, inputs.getValue(record.name), this.inputs.getValue(record.name))
        model.run(this.inputs, outputs)
        manifest.outputs.associate { it.name to read(it, outputs.getValue(it.name)) }
    }

    override fun close() {
        (inputs.values + outputs.values).forEach { it.close() }
        model.close()
    }

    private fun load(unit: String, threads: Int): CompiledModel {
        val options = if (unit == ModelRunner.GPU) CompiledModel.Options(Accelerator.GPU, Accelerator.CPU)
        else CompiledModel.Options(Accelerator.CPU)
        options.cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
        val files = manifest.files
        if (files !is AssetFiles) return CompiledModel.create(manifest.modelOnDisk().path, options)
        return CompiledModel.create(files.assets, files.asset("${manifest.folder}/${manifest.modelFile}"), options)
    }

    private fun buffers(records: List<TensorRecord>, create: (String) -> TensorBuffer): Map<String, TensorBuffer> =
        try {
            calling("${manifest.folder} on $name") { records.associate { it.name to create(it.name) } }
        } catch (error: MobileKitException) {
            model.close()
            throw error
        }

    private fun write(record: TensorRecord, bytes: ByteArray, buffer: TensorBuffer) {
        if (record.dtype == "uint8") buffer.writeInt8(bytes)
        else buffer.writeFloat(record.floats(bytes))
    }

    private fun read(record: TensorRecord, buffer: TensorBuffer): FloatArray = when (record.dtype) {
        "float32" -> buffer.readFloat()
        "int32" -> buffer.readInt().let { values -> FloatArray(values.size) { values[it].toFloat() } }
        else -> throw MobileKitException("output ${record.name}: LiteRT has no ${record.dtype} for apps. Use float32.")
    }
}
