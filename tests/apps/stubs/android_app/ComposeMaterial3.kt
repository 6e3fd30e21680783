// The part of Compose's Material 3 that the app uses.
package androidx.compose.material3

import android.content.Context
import androidx.compose.foundation.layout.ColumnScope
import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.RowScope
import androidx.compose.foundation.layout.WindowInsets
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.Painter

class TextStyle

class Typography(val titleMedium: TextStyle, val bodySmall: TextStyle)

class ColorScheme(val primary: Color, val error: Color)

object MaterialTheme {
    val colorScheme: ColorScheme @Composable get() = stub()
    val typography: Typography @Composable get() = stub()
}

@Composable
fun MaterialTheme(colorScheme: ColorScheme, content: @Composable () -> Unit): Unit = stub(colorScheme, content)

fun lightColorScheme(): ColorScheme = stub()

fun darkColorScheme(): ColorScheme = stub()

fun dynamicLightColorScheme(context: Context): ColorScheme = stub(context)

fun dynamicDarkColorScheme(context: Context): ColorScheme = stub(context)

@Composable
fun Text(
    text: String,
    modifier: Modifier = Modifier,
    color: Color = Color(0),
    style: TextStyle? = null,
): Unit = stub(text, modifier, color, style)

@Composable
fun Icon(painter: Painter, contentDescription: String?): Unit = stub(painter, contentDescription)

@Composable
fun Button(
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    content: @Composable RowScope.() -> Unit,
): Unit = stub(onClick, modifier, enabled, content)

@Composable
fun OutlinedButton(
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    content: @Composable RowScope.() -> Unit,
): Unit = stub(onClick, modifier, content)

@Composable
fun Card(modifier: Modifier = Modifier, content: @Composable ColumnScope.() -> Unit): Unit = stub(modifier, content)

@Composable
fun LinearProgressIndicator(modifier: Modifier = Modifier): Unit = stub(modifier)

@Composable
fun LinearProgressIndicator(progress: () -> Float, modifier: Modifier = Modifier): Unit = stub(progress, modifier)

@Composable
fun Slider(value: Float, onValueChange: (Float) -> Unit): Unit = stub(value, onValueChange)

@Composable
fun DropdownMenu(
    expanded: Boolean,
    onDismissRequest: () -> Unit,
    content: @Composable ColumnScope.() -> Unit,
): Unit = stub(expanded, onDismissRequest, content)

@Composable
fun DropdownMenuItem(text: @Composable () -> Unit, onClick: () -> Unit): Unit = stub(text, onClick)

@Composable
fun NavigationBar(content: @Composable RowScope.() -> Unit): Unit = stub(content)

@Composable
fun RowScope.NavigationBarItem(
    selected: Boolean,
    onClick: () -> Unit,
    icon: @Composable () -> Unit,
    label: (@Composable () -> Unit)? = null,
): Unit = stub(this, selected, onClick, icon, label)

@Composable
fun Scaffold(
    bottomBar: @Composable () -> Unit = {},
    contentWindowInsets: WindowInsets,
    content: @Composable (PaddingValues) -> Unit,
): Unit = stub(bottomBar, contentWindowInsets, content)

private fun stub(vararg given: Any?): Nothing = throw UnsupportedOperationException("${given.asList()}")
