package mobilekit.app

import android.content.Context
import android.graphics.Bitmap
import android.net.Uri
import androidx.camera.core.ImageProxy
import java.io.File
import java.io.IOException
import mobilekit.ClassMap
import mobilekit.MobileKitException
import mobilekit.Photo
import mobilekit.Picture

/** Decodes what was picked, upright. Throws: MobileKitException; IOException where it can't be read. */
fun Context.photo(uri: Uri): Photo {
    // The decoder looks into the file twice, and what the picker gives is a stream.
    val copy = File.createTempFile("photo", null, cacheDir)
    try {
        val source = contentResolver.openInputStream(uri) ?: throw IOException("photo: is gone. Choose another.")
        source.use { from -> copy.outputStream().use { from.copyTo(it) } }
        return Photo.decode(copy)
    } finally {
        copy.delete()
    }
}

/** Returns a camera's frame in RGBA, upright: the sensor's own rows lie as the phone is built, not as it is held. */
fun ImageProxy.photo(): Photo {
    val plane = planes.first()
    if (plane.pixelStride != RGBA_BYTES) throw MobileKitException("camera: gives no RGBA. Pick a photo instead.")
    val pixels = IntArray(width * height)
    val row = ByteArray(width * RGBA_BYTES)
    for (y in 0 until height) {
        // Rows may be padded, the last one not.
        plane.buffer.position(y * plane.rowStride)
        plane.buffer.get(row)
        for (x in 0 until width) {
            val at = x * RGBA_BYTES
            pixels[y * width + x] = argb(row[at].toInt(), row[at + 1].toInt(), row[at + 2].toInt())
        }
    }
    return Photo(width, height, pixels).upright(Photo.orientation(imageInfo.rotationDegrees))
}

/** What the network saw, to be shown. */
fun Picture.bitmap(): Bitmap {
    val pixels = IntArray(width * height) { place ->
        val at = place * channels
        // A gray picture has one channel, which is all three colours.
        argb(bytes[at].toInt(), bytes[at + channels / 2].toInt(), bytes[at + channels - 1].toInt())
    }
    return Bitmap.createBitmap(pixels, width, height, Bitmap.Config.ARGB_8888)
}

/** The classes of the pixels in their colours, to be laid over the picture. */
fun ClassMap.bitmap(): Bitmap = Bitmap.createBitmap(colors(), width, height, Bitmap.Config.ARGB_8888)

private fun argb(red: Int, green: Int, blue: Int): Int =
    (255 shl 24) or (red and 255 shl 16) or (green and 255 shl 8) or (blue and 255)

private const val RGBA_BYTES = 4
