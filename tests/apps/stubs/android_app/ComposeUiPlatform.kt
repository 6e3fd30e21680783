// What a composable knows of its surroundings.
package androidx.compose.ui.platform

import android.content.Context
import android.content.res.Resources
import androidx.compose.runtime.CompositionLocal

val LocalContext = CompositionLocal<Context>()
val LocalResources = CompositionLocal<Resources>()
