package mobilekit

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer

/** Runs a .tflite with LiteRT, on the CPU (XNNPACK), or on the GPU with the CPU for what that refuses.
 *
 * The file is mapped into memory: of an asset, LiteRT would make a copy there. [name] tells whether the CPU helps.
 */
class LiteRtRunner(private val manifest: Manifest, unit: String, private val workers: Int) : ModelRunner {
    override var name = "LiteRT $unit"
        private set
    override val threads: Int? get() = workers.takeIf { ModelRunner.CPU in name }
    private val opened = ArrayList<AutoCloseable>()
    private val model: CompiledModel
    private val inputs: Map<String, TensorBuffer>
    private val outputs: Map<String, TensorBuffer>

    init {
        try {
            model = calling("${manifest.folder} on $name") { compiled(unit) }
            inputs = buffers(manifest.inputs) { model.createInputBuffer(it) }
            outputs = buffers(manifest.outputs) { model.createOutputBuffer(it) }
        } catch (error: MobileKitException) {
            close()
            throw error
        }
    }

    override fun run(inputs: Map<String, ByteArray>): Map<String, FloatArray> = calling(name) {
        for (record in manifest.inputs) write(record, inputs.getValue(record.name), this.inputs.getValue(record.name))
        model.run(this.inputs, outputs)
        manifest.outputs.associate { it.name to read(it, outputs.getValue(it.name)) }
    }

    override fun close() = opened.asReversed().forEach { it.close() }

    private fun compiled(unit: String): CompiledModel {
        val file = manifest.modelOnDisk().path
        val environment = Environment.create().also { opened += it }
        fun on(vararg accelerators: Accelerator): CompiledModel {
            val options = CompiledModel.Options(*accelerators)
            options.cpuOptions = CompiledModel.CpuOptions(numThreads = workers)
            return CompiledModel.create(file, options, environment).also { opened += it }
        }
        if (unit != ModelRunner.GPU) return on(Accelerator.CPU)
        return try {
            on(Accelerator.GPU)
        } catch (error: LiteRtException) {
            // Where there is no GPU, LiteRT takes the CPU alone without a word, if it is given both.
            if (Accelerator.GPU !in environment.getAvailableAccelerators()) {
                throw MobileKitException("${manifest.folder}: this phone has no GPU for LiteRT. Choose the CPU.", error)
            }
            name += " and CPU"
            on(Accelerator.GPU, Accelerator.CPU)
        }
    }

    private fun buffers(records: List<TensorRecord>, create: (String) -> TensorBuffer): Map<String, TensorBuffer> =
        calling("${manifest.folder} on $name") {
            records.associate { record -> record.name to create(record.name).also { opened += it } }
        }

    private fun write(record: TensorRecord, bytes: ByteArray, buffer: TensorBuffer) = when (record.dtype) {
        "uint8" -> buffer.writeInt8(bytes) // which copies bytes as they are
        "float32" -> buffer.writeFloat(record.floats(bytes))
        else -> throw record.strange()
    }

    private fun read(record: TensorRecord, buffer: TensorBuffer): FloatArray = when (record.dtype) {
        "float32" -> buffer.readFloat()
        "int32" -> buffer.readInt().let { values -> FloatArray(values.size) { values[it].toFloat() } }
        else -> throw record.strange()
    }
}
