package mobilekit.app

import android.content.Context
import android.content.Intent
import androidx.core.content.FileProvider
import java.io.File
import org.json.JSONArray

/** Writes results, of several models too: `mobile-kit import` takes those of its artifact, which it knows by the hash.
 *
 * Returns: the file. Throws: IOException.
 */
fun Context.writeResults(results: List<Benched>): File {
    val folder = File(filesDir, RESULTS)
    folder.mkdirs()
    val file = File(folder, "bench.json")
    file.writeText(JSONArray(results.map { it.record }).toString(1))
    return file
}

/** Lets the user send a file of ours with another app, which may read this one and no other. */
fun Context.share(file: File) {
    val uri = FileProvider.getUriForFile(this, "$packageName.results", file)
    val send = Intent(Intent.ACTION_SEND)
        .setType("application/json")
        .putExtra(Intent.EXTRA_STREAM, uri)
        .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
    startActivity(Intent.createChooser(send, null))
}

// As res/xml/shared.xml has it.
private const val RESULTS = "results"
