package mobilekit

import android.content.res.AssetManager
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream

/** Where artifacts lie: models.json and a folder each. Paths are relative, with "/". */
interface Files {
    /** Opens a file. Throws: IOException where it can't be read. */
    fun open(path: String): InputStream

    /** Returns a file on disk, as runtimes that map it into memory want it; [version]: changes with what is in it.
     *
     * Throws: IOException where it can't be written there.
     */
    fun onDisk(path: String, version: String): File

    /** Reads a whole file. Throws: MobileKitException where it can't be read. */
    fun read(path: String): ByteArray =
        try {
            withMemory(path) { open(path).use { it.readBytes() } }
        } catch (error: IOException) {
            throw MobileKitException("$path: is missing from the app or can't be read. Bundle the app again.", error)
        }
}

/** Artifacts in a folder. */
class FolderFiles(private val folder: File) : Files {
    override fun open(path: String): InputStream = File(folder, path).inputStream()

    override fun onDisk(path: String, version: String): File = File(folder, path)
}

/** Artifacts in the app's assets, below [root]. What a runtime needs on disk is copied into [cache], once. */
class AssetFiles(val assets: AssetManager, private val root: String, private val cache: File) : Files {
    fun asset(path: String): String = "$root/$path"

    override fun open(path: String): InputStream = assets.open(asset(path))

    override fun onDisk(path: String, version: String): File {
        val file = File(cache, "$version/${File(path).name}")
        if (!file.isFile) {
            file.parentFile?.mkdirs()
            // A copy that was broken off must not be taken for the file.
            val partial = File("$file.partial")
            open(path).use { source -> FileOutputStream(partial).use { source.copyTo(it) } }
            if (!partial.renameTo(file)) throw IOException("$file can't be written")
        }
        return file
    }
}
