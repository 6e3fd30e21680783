package mobilekit

import java.util.concurrent.ExecutionException
import java.util.concurrent.FutureTask
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

/** Pillow's filters that average when they shrink (Pillow, src/libImaging/Resample.c). */
internal enum class Filter(val support: Double) {
    BILINEAR(1.0) {
        override fun at(x: Double) = max(1 - abs(x), 0.0)
    },
    BICUBIC(2.0) {
        override fun at(x: Double): Double {
            val far = abs(x)
            return when {
                far < 1 -> ((CUBIC + 2) * far - (CUBIC + 3)) * far * far + 1
                far < 2 -> (((far - 5) * far + 8) * far - 4) * CUBIC
                else -> 0.0
            }
        }
    };

    abstract fun at(x: Double): Double

    companion object {
        private const val CUBIC = -0.5

        /** Returns a filter by a manifest's name. Throws: MobileKitException. */
        fun named(name: String): Filter = entries.find { it.name.equals(name, ignoreCase = true) }
            ?: throw MobileKitException("resample $name: not known here. Known: bilinear, bicubic. Update the app.")
    }
}

/** The weights with which the source's points go into those of a result, from [first] on, [count] of them.
 *
 * Point i takes the source's points from starts[i] on with weights[i].
 */
internal class Weights(filter: Filter, source: Int, target: Int, first: Int = 0, val count: Int = target) {
    val starts = IntArray(count)
    val weights: Array<DoubleArray>

    /** The source's points that count, which later points of the result don't go back behind. */
    val from: Int get() = starts.first()
    val until: Int get() = starts.last() + weights.last().size

    init {
        val scale = source.toDouble() / target
        val stretch = max(scale, 1.0)
        val support = filter.support * stretch
        weights = Array(count) { place ->
            val center = (first + place + 0.5) * scale
            val from = max((center - support + 0.5).toInt(), 0)
            val to = min((center + support + 0.5).toInt(), source)
            starts[place] = from
            val raw = DoubleArray(to - from) { filter.at((it + from - center + 0.5) * (1 / stretch)) }
            val sum = raw.sum()
            DoubleArray(raw.size) { raw[it] / sum }
        }
    }

    /** The weights as Pillow rounds them for bytes, half away from zero. */
    fun fixed(): Array<IntArray> = Array(count) { place ->
        IntArray(weights[place].size) {
            val weight = weights[place][it] * (1 shl FIXED_BITS)
            (if (weight < 0) weight - 0.5 else weight + 0.5).toInt()
        }
    }

    companion object {
        const val FIXED_BITS = 22
    }
}

/** Resizes a plane of floats, [width] a row, as Pillow resizes its mode F. */
internal fun resizePlane(plane: FloatArray, width: Int, across: Weights, down: Weights): FloatArray {
    val rows = plane.size / width
    val narrow = FloatArray(rows * across.count)
    for (y in 0 until rows) {
        for (x in 0 until across.count) {
            var sum = 0.0
            val from = y * width + across.starts[x]
            across.weights[x].forEachIndexed { tap, weight -> sum += plane[from + tap] * weight }
            narrow[y * across.count + x] = sum.toFloat()
        }
    }
    return FloatArray(down.count * across.count) { place ->
        val (y, x) = place / across.count to place % across.count
        var sum = 0.0
        down.weights[y].forEachIndexed { tap, weight ->
            sum += narrow[(down.starts[y] + tap) * across.count + x] * weight
        }
        sum.toFloat()
    }
}

/** Does the halves of 0 until [count] on two threads. */
internal fun inTwo(count: Int, work: (from: Int, to: Int) -> Unit) {
    val other = FutureTask { work(count / 2, count) }
    Thread(other).start()
    try {
        work(0, count / 2)
    } finally {
        try {
            other.get()
        } catch (error: ExecutionException) {
            throw error.cause ?: error
        }
    }
}
