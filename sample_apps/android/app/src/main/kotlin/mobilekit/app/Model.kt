package mobilekit.app

import mobilekit.BundledModel
import mobilekit.Files
import mobilekit.GoldenTest
import mobilekit.Manifest
import mobilekit.ModelRunner
import mobilekit.Photo

/** What a model's answers are shown as. */
enum class Kind { CLASSES, MAP, FEATURES }

/** A bundled model that can be run: [units] are what its file can be computed on. */
class Model(val bundled: BundledModel, val manifest: Manifest, val units: List<String>) {
    val title: String get() = bundled.title

    val kind: Kind
        get() = when (manifest.head) {
            "classification" -> Kind.CLASSES
            "segmentation" -> Kind.MAP
            else -> Kind.FEATURES
        }

    /** The photo that the model's right answers are known of. Throws: MobileKitException. */
    fun goldenPhoto(): Photo = Photo.decode(manifest.read(GoldenTest.PHOTO))
}

/** A model, and what it is computed on. */
data class Choice(val model: Model, val unit: String)

/** The bundled models, and a line for each that is missing or broken. */
class Models(val usable: List<Model>, val faults: List<String>) {
    fun of(kind: Kind): List<Model> = usable.filter { it.kind == kind }

    companion object {
        /** Reads models.json and the manifests; what can't be read becomes a line. */
        fun read(files: Files): Models {
            val faults = ArrayList<String>()
            val bundled = attempt { BundledModel.all(files) }.orElse { faults += it } ?: emptyList()
            val usable = bundled.mapNotNull { entry -> attempt { model(files, entry) }.orElse { faults += it } }
            return Models(usable, faults)
        }

        private fun model(files: Files, entry: BundledModel): Model {
            val manifest = Manifest.read(files, entry.folder)
            return Model(entry, manifest, ModelRunner.units(manifest))
        }
    }
}
