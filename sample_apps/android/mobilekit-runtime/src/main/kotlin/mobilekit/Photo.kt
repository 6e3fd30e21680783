package mobilekit

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import java.io.File

/** A decoded photo: [argb] has a pixel each, row by row, as Android's Bitmap gives them. */
class Photo(val width: Int, val height: Int, val argb: IntArray) {
    init {
        require(width > 0 && height > 0 && argb.size == width * height) { "$width x $height isn't ${argb.size}" }
    }

    /** Turns and mirrors a photo as its EXIF orientation (1 to 8) says; what isn't known is left as it is. */
    fun upright(orientation: Int): Photo {
        if (orientation !in 2..8) return this
        val turned = orientation >= 5
        val (w, h) = if (turned) height to width else width to height
        // How far a step to the right and a step down go in the source, and where the first pixel is.
        val right = if (turned) width else 1
        val down = if (turned) 1 else width
        val flipRight = orientation in intArrayOf(2, 3, 6, 7)
        val flipDown = orientation in intArrayOf(3, 4, 7, 8)
        val first = (if (flipRight) right * (w - 1) else 0) + (if (flipDown) down * (h - 1) else 0)
        val stepRight = if (flipRight) -right else right
        val stepDown = if (flipDown) -down else down
        val result = withMemory("photo of $width x $height") { IntArray(argb.size) }
        for (y in 0 until h) {
            var from = first + y * stepDown
            for (to in y * w until (y + 1) * w) {
                result[to] = argb[from]
                from += stepRight
            }
        }
        return Photo(w, h, result)
    }

    /** Lays transparent pixels over white, in place. */
    fun overWhite(): Photo {
        for (place in argb.indices) {
            val pixel = argb[place]
            val alpha = pixel ushr 24
            if (alpha != 255) {
                val white = 255 * (255 - alpha)
                val red = ((pixel shr 16 and 255) * alpha + white + 127) / 255
                val green = ((pixel shr 8 and 255) * alpha + white + 127) / 255
                val blue = ((pixel and 255) * alpha + white + 127) / 255
                argb[place] = (255 shl 24) or (red shl 16) or (green shl 8) or blue
            }
        }
        return this
    }

    companion object {
        /** The EXIF orientation of a camera's picture that must be turned clockwise by [degrees] to stand upright. */
        fun orientation(degrees: Int): Int = when (((degrees % 360) + 360) % 360) {
            90 -> 6
            180 -> 3
            270 -> 8
            else -> 1
        }

        /** Decodes a file, upright. Throws: MobileKitException where it is no image, or too large for the memory. */
        fun decode(file: File): Photo {
            val exif = try {
                android.media.ExifInterface(file.path)
            } catch (_: java.io.IOException) {
                null // not a kind of file that has an orientation
            }
            val size = plain().apply { inJustDecodeBounds = true }
            BitmapFactory.decodeFile(file.path, size)
            checkFits(size.outWidth, size.outHeight)
            val photo = from(withMemory("photo") { BitmapFactory.decodeFile(file.path, plain()) })
            return photo.upright(exif?.getAttributeInt(android.media.ExifInterface.TAG_ORIENTATION, 1) ?: 1)
        }

        /** Decodes the bytes of a file that has no orientation, such as a golden photo. Throws: MobileKitException. */
        fun decode(bytes: ByteArray): Photo =
            from(withMemory("photo") { BitmapFactory.decodeByteArray(bytes, 0, bytes.size, plain()) })

        /** Takes the pixels out of a bitmap, and lets go of it. */
        fun from(bitmap: Bitmap?): Photo {
            bitmap ?: throw MobileKitException("photo: can't be decoded. Choose a JPEG or PNG.")
            try {
                return withMemory("photo of ${bitmap.width} x ${bitmap.height}") {
                    val photo = Photo(bitmap.width, bitmap.height, IntArray(bitmap.width * bitmap.height))
                    bitmap.getPixels(photo.argb, 0, photo.width, 0, 0, photo.width, photo.height)
                    if (bitmap.hasAlpha()) photo.overWhite() else photo
                }
            } finally {
                bitmap.recycle()
            }
        }

        /** Refuses what can't fit, before it is decoded: a system short of memory ends apps instead of telling them. */
        internal fun checkFits(width: Int, height: Int) {
            if (4L * width * height > Runtime.getRuntime().maxMemory()) throw noMemory("photo of $width x $height")
        }

        // No scaling by the screen's density, and pixels as getPixels gives them exactly.
        private fun plain() = BitmapFactory.Options().apply {
            inScaled = false
            inPreferredConfig = Bitmap.Config.ARGB_8888
        }
    }
}
