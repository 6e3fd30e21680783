// How a picture fills its place.
package androidx.compose.ui.layout

interface ContentScale {
    companion object {
        val Fit: ContentScale get() = throw UnsupportedOperationException()
        val FillBounds: ContentScale get() = throw UnsupportedOperationException()
    }
}
