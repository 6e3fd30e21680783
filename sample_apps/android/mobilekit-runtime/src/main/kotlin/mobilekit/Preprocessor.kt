package mobilekit

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.max
import kotlin.math.min

/** A network's view of a photo: (height, width, channels) bytes, RGB or gray. */
class Picture(val width: Int, val height: Int, val channels: Int, val bytes: ByteArray)

/** From a photo to what a file takes, as the manifest's `preprocess` says. */
class Preprocessor(private val work: Preprocess) {
    private val filter = if (work.resizes) Filter.named(work.resample) else Filter.BILINEAR

    /** Resizes and crops a photo, to the byte as Pillow 13 does it.
     *
     * Throws: MobileKitException for a photo that is too narrow, or where there isn't enough memory.
     */
    fun geometry(photo: Photo): Picture = withMemory("photo of ${photo.width} x ${photo.height}") {
        val (tall, wide) = work.resizedTo(photo.height, photo.width)
        val (height, width) = work.imageSize
        val (rows, columns) = Window(tall, height) to Window(wide, width)
        val across = Weights(filter, photo.width, wide, columns.first, columns.count)
        val down = Weights(filter, photo.height, tall, rows.first, rows.count)
        val source = Plane(photo.argb, photo.width, work.channels == 1)
        // Where much more of the height goes than of the width, Pillow 13 begins with it.
        val resized = if (tall < photo.height && photo.height - tall > 2 * (photo.width - wide)) {
            source.shortened(down, across.from, across.until).narrowed(across, 0, down.count, across.from)
        } else {
            source.narrowed(across, down.from, down.until, 0).shortened(down, 0, across.count, down.from)
        }
        val result = Picture(width, height, work.channels, ByteArray(height * width * work.channels))
        for (y in 0 until rows.count) {
            val to = ((rows.margin + y) * width + columns.margin) * work.channels
            resized.write(y, columns.count, result, to)
        }
        result
    }

    /** What enters the file: the bytes (1, h, w, C), or pixel_values (1, C, h, w), little-endian float32. */
    fun entering(picture: Picture): ByteArray {
        if (work.inGraph) return picture.bytes
        val values = ByteBuffer.allocate(4 * picture.bytes.size).order(ByteOrder.LITTLE_ENDIAN)
        for (channel in 0 until picture.channels) {
            // All values that a byte can become.
            val table = FloatArray(256) { ((it * work.scale - work.mean[channel]) / work.std[channel]).toFloat() }
            val from = if (work.channelOrder == "BGR") picture.channels - 1 - channel else channel
            for (place in from until picture.bytes.size step picture.channels) {
                values.putFloat(table[picture.bytes[place].toInt() and 255])
            }
        }
        return values.array()
    }
}

/** Which of [length] points are in the middle [wanted], and how many are missing before them. */
private class Window(length: Int, wanted: Int) {
    val first = max(length - wanted, 0) / 2
    val count = min(length, wanted)
    val margin = (max(wanted - length, 0) + 1) / 2
}

/** Packed pixels, [stride] a row; [gray]: their luminance counts. */
private class Plane(private val pixels: IntArray, private val stride: Int, private val gray: Boolean) {
    /** Brings the rows from [top] until [bottom] to a new width; the weights are of columns after [left]. */
    fun narrowed(across: Weights, top: Int, bottom: Int, left: Int): Plane {
        val result = IntArray((bottom - top) * across.count)
        val weights = across.fixed()
        inTwo(bottom - top) { from, until ->
            val lanes = Lanes(across.until - across.from, gray)
            for (y in from until until) {
                lanes.spread(pixels, (top + y) * stride + across.from - left)
                for (x in 0 until across.count) {
                    result[y * across.count + x] = lanes.sum(weights[x], across.starts[x] - across.from)
                }
            }
        }
        return Plane(result, across.count, false)
    }

    /** Brings the columns from [left] until [right] to a new height; the weights are of rows after [top]. */
    fun shortened(down: Weights, left: Int, right: Int, top: Int = 0): Plane {
        val width = right - left
        val result = IntArray(down.count * width)
        val weights = down.fixed()
        inTwo(down.count) { from, until ->
            val lanes = Lanes(width, gray)
            for (y in from until until) {
                lanes.clear()
                weights[y].forEachIndexed { tap, weight ->
                    lanes.add(pixels, (down.starts[y] - top + tap) * stride + left, weight)
                }
                lanes.pack(result, y * width)
            }
        }
        return Plane(result, width, false)
    }

    fun write(row: Int, width: Int, result: Picture, from: Int) {
        var to = from
        for (place in row * stride until row * stride + width) {
            if (result.channels == 3) {
                result.bytes[to++] = (pixels[place] shr 16).toByte()
                result.bytes[to++] = (pixels[place] shr 8).toByte()
            }
            result.bytes[to++] = pixels[place].toByte()
        }
    }
}

/** Weighted sums of a row of pixels: red and blue share a long of two signed lanes, so that one product serves both. */
private class Lanes(size: Int, private val gray: Boolean) {
    private val outer = LongArray(size)
    private val inner = IntArray(size)

    fun clear() {
        outer.fill(HALVES)
        inner.fill(HALF)
    }

    fun spread(pixels: IntArray, from: Int) {
        for (x in outer.indices) {
            val pixel = if (gray) luminance(pixels[from + x]) else pixels[from + x]
            outer[x] = sides(pixel)
            inner[x] = pixel shr 8 and 0xff
        }
    }

    fun add(pixels: IntArray, from: Int, weight: Int) {
        for (x in outer.indices) {
            val pixel = if (gray) luminance(pixels[from + x]) else pixels[from + x]
            outer[x] += weight * sides(pixel)
            inner[x] += weight * (pixel shr 8 and 0xff)
        }
    }

    fun sum(weights: IntArray, from: Int): Int {
        var sides = HALVES
        var middle = HALF
        for (tap in weights.indices) {
            val weight = weights[tap]
            sides += weight * outer[from + tap]
            middle += weight * inner[from + tap]
        }
        return packed(sides, middle)
    }

    fun pack(result: IntArray, from: Int) {
        for (x in outer.indices) result[from + x] = packed(outer[x], inner[x])
    }

    // A negative blue borrows one from red.
    private fun packed(sides: Long, middle: Int): Int {
        val blue = sides.toInt()
        val red = (sides - blue shr 32).toInt()
        return clipped(red) shl 16 or (clipped(middle) shl 8) or clipped(blue)
    }

    private fun clipped(sum: Int): Int = min(max(sum shr Weights.FIXED_BITS, 0), 255)

    private fun sides(pixel: Int): Long = (pixel and 0xff0000).toLong() shl 16 or (pixel and 0xff).toLong()

    // As Pillow's L24 (src/libImaging/Convert.c); it goes where blue does.
    private fun luminance(pixel: Int): Int =
        ((pixel shr 16 and 0xff) * 19595 + (pixel shr 8 and 0xff) * 38470 + (pixel and 0xff) * 7471 + 0x8000) shr 16

    private companion object {
        const val HALF = 1 shl (Weights.FIXED_BITS - 1)
        const val HALVES = (HALF.toLong() shl 32) or HALF.toLong()
    }
}
