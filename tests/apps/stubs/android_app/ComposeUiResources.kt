// Texts and pictures of the app.
package androidx.compose.ui.res

import androidx.compose.runtime.Composable
import androidx.compose.ui.graphics.Painter

@Composable
fun stringResource(id: Int): String = throw UnsupportedOperationException("$id")

@Composable
fun stringResource(id: Int, vararg formatArgs: Any): String =
    throw UnsupportedOperationException("$id ${formatArgs.asList()}")

@Composable
fun painterResource(id: Int): Painter = throw UnsupportedOperationException("$id")
