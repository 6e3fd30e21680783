// The part of Compose's user interface that the app uses.
package androidx.compose.ui

interface Modifier {
    companion object : Modifier
}

interface Alignment {
    interface Vertical

    companion object {
        val Center: Alignment get() = throw UnsupportedOperationException()
        val CenterVertically: Vertical get() = throw UnsupportedOperationException()
    }
}
