package harness

import android.app.Activity
import android.os.Bundle
import android.widget.TextView
import java.io.File
import mobilekit.AssetFiles
import mobilekit.BundledModel
import mobilekit.GoldenTest
import mobilekit.Manifest
import mobilekit.MobileKitException
import mobilekit.ModelRunner

/** The smallest app around the module: shows what the self-test of each bundled model finds. */
class SelfTestActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val text = TextView(this)
        setContentView(text)
        Thread {
            val said = try {
                found().joinToString("\n")
            } catch (error: MobileKitException) {
                error.message
            }
            runOnUiThread { text.text = said }
        }.start()
    }

    private fun found(): List<String> {
        val files = AssetFiles(File(filesDir, "models")) { assets.open("models/$it") }
        return BundledModel.all(files).flatMap { model ->
            val manifest = Manifest.read(files, model.folder)
            ModelRunner.units(manifest).map { unit ->
                val test = GoldenTest(manifest, model.leastSqnrDb)
                val result = test.run { ModelRunner.open(manifest, unit, threads = 2) }
                "${model.title} on ${result.runner}: ${if (result.passed) "PASS" else "FAIL"}"
            }
        }
    }
}
