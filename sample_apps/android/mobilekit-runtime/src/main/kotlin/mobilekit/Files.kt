package mobilekit

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream
import java.security.DigestInputStream
import java.security.MessageDigest

/** Where artifacts lie: models.json and a folder each. Paths are relative, with "/". */
interface Files {
    /** Opens a file. Throws: IOException where it can't be read. */
    fun open(path: String): InputStream

    /** Returns a file on disk, as runtimes map it into memory; [sha256]: of what must be in it.
     *
     * Throws: IOException where it can't be read or written; MobileKitException where something else is in it.
     */
    fun onDisk(path: String, sha256: String): File

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

    override fun onDisk(path: String, sha256: String): File = File(folder, path)
}

/** Artifacts among an app's assets, which [asset] opens. What must be on disk is copied into [cache], once. */
class AssetFiles(private val cache: File, private val asset: (String) -> InputStream) : Files {
    override fun open(path: String): InputStream = asset(path)

    override fun onDisk(path: String, sha256: String): File {
        val file = File(cache, "$sha256.${File(path).extension}")
        if (!file.isFile) {
            cache.mkdirs()
            // A copy that was broken off must not be taken for the file.
            val partial = File("$file.partial")
            try {
                val digest = MessageDigest.getInstance("SHA-256")
                DigestInputStream(open(path), digest).use { from -> FileOutputStream(partial).use { from.copyTo(it) } }
                if (digest.digest().joinToString("") { "%02x".format(it) } != sha256) {
                    throw MobileKitException("$path: isn't what its manifest says. Bundle the app again.")
                }
                if (!partial.renameTo(file)) throw IOException("$file can't be written")
            } finally {
                partial.delete()
            }
        }
        return file
    }

    /** Deletes the copies of all but these artifacts' files: those of former versions of the app. */
    fun keepOnly(manifests: List<Manifest>) {
        val kept = manifests.map { it.modelSha256 }
        cache.listFiles()?.filter { it.nameWithoutExtension !in kept }?.forEach { it.delete() }
    }
}
