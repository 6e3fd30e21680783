// The part of Compose's layouts that the app uses.
package androidx.compose.foundation.layout

import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.Dp

interface PaddingValues

interface WindowInsets {
    companion object
}

val WindowInsets.Companion.safeDrawing: WindowInsets @Composable get() = stub(this)

interface BoxScope

interface ColumnScope

interface RowScope {
    fun Modifier.weight(weight: Float): Modifier
}

object Arrangement {
    interface Horizontal

    interface Vertical

    interface HorizontalOrVertical : Horizontal, Vertical

    fun spacedBy(space: Dp): HorizontalOrVertical = stub(space)
}

@Composable
fun Box(modifier: Modifier): Unit = stub(modifier)

@Composable
fun Box(modifier: Modifier = Modifier, content: @Composable BoxScope.() -> Unit): Unit = stub(modifier, content)

@Composable
fun Column(
    modifier: Modifier = Modifier,
    verticalArrangement: Arrangement.Vertical? = null,
    content: @Composable ColumnScope.() -> Unit,
): Unit = stub(modifier, verticalArrangement, content)

@Composable
fun Row(
    modifier: Modifier = Modifier,
    horizontalArrangement: Arrangement.Horizontal? = null,
    verticalAlignment: Alignment.Vertical? = null,
    content: @Composable RowScope.() -> Unit,
): Unit = stub(modifier, horizontalArrangement, verticalAlignment, content)

fun Modifier.aspectRatio(ratio: Float): Modifier = stub(this, ratio)

fun Modifier.fillMaxSize(): Modifier = stub(this)

fun Modifier.fillMaxWidth(): Modifier = stub(this)

fun Modifier.height(height: Dp): Modifier = stub(this, height)

fun Modifier.padding(all: Dp): Modifier = stub(this, all)

fun Modifier.padding(values: PaddingValues): Modifier = stub(this, values)

fun Modifier.size(size: Dp): Modifier = stub(this, size)

private fun stub(vararg given: Any?): Nothing = throw UnsupportedOperationException("${given.asList()}")
