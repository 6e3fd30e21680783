// What a composable knows of its surroundings.
package androidx.compose.ui.platform

import android.content.Context
import android.content.res.Resources
import android.view.View
import androidx.compose.runtime.CompositionLocal

val LocalContext = CompositionLocal<Context>()
val LocalView = CompositionLocal<View>()
val LocalResources = CompositionLocal<Resources>()
