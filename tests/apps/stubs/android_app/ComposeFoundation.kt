// The part of Compose's foundation that the app uses.
package androidx.compose.foundation

import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.FilterQuality
import androidx.compose.ui.graphics.ImageBitmap
import androidx.compose.ui.layout.ContentScale

class ScrollState

@Composable
fun isSystemInDarkTheme(): Boolean = stub()

@Composable
fun rememberScrollState(): ScrollState = stub()

fun Modifier.verticalScroll(state: ScrollState): Modifier = stub(this, state)

fun Modifier.background(color: Color): Modifier = stub(this, color)

@Composable
fun Image(
    bitmap: ImageBitmap,
    contentDescription: String?,
    modifier: Modifier = Modifier,
    alignment: Alignment = Alignment.Center,
    contentScale: ContentScale = ContentScale.Fit,
    alpha: Float = 1f,
    filterQuality: FilterQuality = FilterQuality.Low,
): Unit = stub(bitmap, contentDescription, modifier, alignment, contentScale, alpha, filterQuality)

private fun stub(vararg given: Any?): Nothing = throw UnsupportedOperationException("${given.asList()}")
