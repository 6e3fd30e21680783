// Colours and pictures.
package androidx.compose.ui.graphics

import android.graphics.Bitmap

class Color(val argb: Int)

class FilterQuality private constructor() {
    companion object {
        val None = FilterQuality()
        val Low = FilterQuality()
    }
}

interface ImageBitmap {
    val width: Int
    val height: Int
}

abstract class Painter

fun Bitmap.asImageBitmap(): ImageBitmap = throw UnsupportedOperationException("$this")
