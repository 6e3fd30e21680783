// Drives the app's runtime module on a JVM: reads a request, and prints what came out as one line of JSON.
package harness

import java.io.File
import mobilekit.FolderFiles
import mobilekit.Manifest
import mobilekit.MobileKitException
import mobilekit.Photo
import mobilekit.Preprocessor
import org.json.JSONArray
import org.json.JSONObject

fun main(arguments: Array<String>) {
    val folder = File(arguments[1])
    val said: Any = when (arguments[0]) {
        "geometry" -> geometry(folder)
        "entering" -> refusing { entering(folder) }
        "upright" -> upright()
        "speed" -> speed(folder, arguments[2].toInt())
        "answers" -> refusing { answers(folder) }
        "models" -> refusing { models(folder) }
        "golden" -> refusing { golden(folder) }
        "bench" -> bench(folder)
        "open" -> refusing { open(folder) }
        "runners" -> runners(folder)
        "copies" -> refusing { copies(folder) }
        "large" -> refusing { large() }
        "heavy" -> refusing { heavy(folder) }
        "units" -> refusing { units(folder) }
        else -> throw IllegalArgumentException(arguments[0])
    }
    println(said)
}

/** An answer of the module, or the line that it gives a user. */
fun refusing(work: () -> JSONObject): JSONObject =
    try {
        work()
    } catch (error: MobileKitException) {
        JSONObject().put("refused", error.message)
    }

fun photo(bytes: ByteArray, height: Int, width: Int, channels: Int): Photo {
    fun value(place: Int, channel: Int) = bytes[place * channels + channel % channels].toInt() and 255
    return Photo(width, height, IntArray(height * width) {
        (255 shl 24) or (value(it, 0) shl 16) or (value(it, 1) shl 8) or value(it, 2)
    })
}

fun photo(record: JSONObject, folder: File): Photo {
    val bytes = File(folder, record.getString("source")).readBytes()
    return photo(bytes, record.getInt("height"), record.getInt("width"), record.getInt("channels"))
}

/** Each case has its manifest in a folder of its name; the picture is left there. */
private fun geometry(folder: File): JSONArray {
    val cases = JSONArray(File(folder, "cases.json").readText())
    for (number in 0 until cases.length()) {
        val manifest = Manifest.read(FolderFiles(folder), "$number")
        val picture = Preprocessor(manifest.preprocess).geometry(photo(cases.getJSONObject(number), folder))
        File(folder, "$number/picture.bin").writeBytes(picture.bytes)
    }
    return cases
}

/** What enters the file, of the photo described by photo.json. */
private fun entering(folder: File): JSONObject {
    val record = JSONObject(File(folder, "photo.json").readText())
    val work = Preprocessor(Manifest.read(FolderFiles(folder), "artifact").preprocess)
    File(folder, "entering.bin").writeBytes(work.entering(work.geometry(photo(record, folder))))
    return record
}

/** The pixels of a photo of two rows and three columns in each EXIF orientation, and turned by a camera. */
private fun upright(): JSONObject {
    fun told(orientation: Int): JSONArray {
        val photo = Photo(3, 2, IntArray(6) { it }).upright(orientation)
        return JSONArray(photo.argb.asList().chunked(photo.width).map { JSONArray(it) })
    }
    val said = JSONObject()
    for (orientation in 1..8) said.put("$orientation", told(orientation))
    for (degrees in 0..270 step 90) said.put("turned $degrees", told(Photo.orientation(degrees)))
    val clear = Photo(3, 1, intArrayOf(0x00123456, 0x80000000.toInt(), 0xff102030.toInt())).overWhite()
    return said.put("over white", JSONArray(clear.argb.map { it and 0xffffff }))
}

/** Milliseconds from a decoded photo to what enters the file, after as many untimed calls. */
private fun speed(folder: File, calls: Int): JSONObject {
    val record = JSONObject(File(folder, "photo.json").readText())
    val large = photo(record, folder)
    val work = Preprocessor(Manifest.read(FolderFiles(folder), "artifact").preprocess)
    val times = (0 until 2 * calls).map {
        val start = System.nanoTime()
        val bytes = work.entering(work.geometry(large))
        if (it == 0) File(folder, "entering.bin").writeBytes(bytes)
        (System.nanoTime() - start) / 1e6
    }
    return JSONObject().put("ms", JSONArray(times.drop(calls)))
}

/** A photo that no memory here can hold. */
private fun large(): JSONObject {
    Photo.checkFits(4000, 3000)
    Photo.checkFits(100_000, 100_000)
    return JSONObject()
}

/** Geometry for which there isn't enough memory. */
private fun heavy(folder: File): JSONObject {
    val photo = Photo(4000, 3000, IntArray(12_000_000))
    val hoard = ArrayList<ByteArray>()
    try {
        while (true) hoard.add(ByteArray(1 shl 20))
    } catch (_: OutOfMemoryError) {
        val picture = Preprocessor(Manifest.read(FolderFiles(folder), "artifact").preprocess).geometry(photo)
        return JSONObject().put("bytes", picture.bytes.size + hoard.size)
    }
}
