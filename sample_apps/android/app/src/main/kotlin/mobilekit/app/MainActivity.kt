package mobilekit.app

import android.content.ComponentCallbacks2
import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.activity.enableEdgeToEdge
import androidx.activity.viewModels

/** The app's only activity. */
class MainActivity : ComponentActivity() {
    private val viewModel: AppViewModel by viewModels()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        enableEdgeToEdge()
        setContent { AppTheme { AppScreen(viewModel) } }
    }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        // That the app is out of sight says nothing of the memory; all other levels do.
        if (level != ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN) viewModel.freeMemory()
    }
}
