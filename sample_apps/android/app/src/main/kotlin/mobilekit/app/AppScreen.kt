package mobilekit.app

import androidx.annotation.DrawableRes
import androidx.annotation.StringRes
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.WindowInsets
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.safeDrawing
import androidx.compose.foundation.rememberScrollState
import androidx.compose.foundation.verticalScroll
import androidx.compose.material3.Icon
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.NavigationBar
import androidx.compose.material3.NavigationBarItem
import androidx.compose.material3.Scaffold
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.SideEffect
import androidx.compose.runtime.collectAsState
import androidx.compose.runtime.getValue
import androidx.compose.runtime.key
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.LocalView
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp

/** The screens, in the order of the bar. */
enum class Tab(@param:StringRes val label: Int, @param:DrawableRes val icon: Int) {
    CLASSIFY(R.string.tab_classify, R.drawable.ic_classify),
    SEGMENT(R.string.tab_segment, R.drawable.ic_segment),
    FEATURES(R.string.tab_features, R.drawable.ic_features),
    BENCHMARK(R.string.tab_benchmark, R.drawable.ic_benchmark),
    SELF_TEST(R.string.tab_self_test, R.drawable.ic_self_test),
}

/** All of the app: a screen, and the bar that changes it. */
@Composable
fun AppScreen(viewModel: AppViewModel) {
    val state by viewModel.state.collectAsState()
    var tab by rememberSaveable { mutableStateOf(if (viewModel.testsFirst) Tab.SELF_TEST else Tab.CLASSIFY) }
    val view = LocalView.current
    // A phone whose screen goes dark slows down.
    SideEffect { view.keepScreenOn = state.task?.measures == true }
    // Clear of a camera's hole in the screen too.
    Scaffold(bottomBar = { Tabs(tab) { tab = it } }, contentWindowInsets = WindowInsets.safeDrawing) { bars ->
        key(tab) {
            val column = Modifier.padding(bars).fillMaxSize().verticalScroll(rememberScrollState()).padding(16.dp)
            Column(column, verticalArrangement = Arrangement.spacedBy(12.dp)) {
                Notices(state)
                when (tab) {
                    Tab.CLASSIFY -> PhotoScreen(Kind.CLASSES, state, viewModel)
                    Tab.SEGMENT -> PhotoScreen(Kind.MAP, state, viewModel)
                    Tab.FEATURES -> PhotoScreen(Kind.FEATURES, state, viewModel)
                    Tab.BENCHMARK -> BenchmarkScreen(state, viewModel)
                    Tab.SELF_TEST -> SelfTestScreen(state, viewModel::selfTest)
                }
            }
        }
    }
}

@Composable
private fun Tabs(chosen: Tab, onChoice: (Tab) -> Unit) {
    NavigationBar {
        for (tab in Tab.entries) {
            NavigationBarItem(
                selected = tab == chosen,
                onClick = { onChoice(tab) },
                icon = { Icon(painterResource(tab.icon), contentDescription = null) },
                label = { Text(stringResource(tab.label)) },
            )
        }
    }
}

/** What isn't a screen's own: the task at hand, broken models, the last failure, and a model that was unloaded. */
@Composable
private fun Notices(state: AppState) {
    state.task?.let { task ->
        Text(stringResource(task.label))
        LinearProgressIndicator(Modifier.fillMaxWidth())
    }
    for (fault in state.models.faults + state.notices) {
        Text(fault, color = MaterialTheme.colorScheme.error)
    }
    if (state.dropped) Text(stringResource(R.string.dropped))
}

private val Task.label: Int
    @StringRes get() = when (this) {
        Task.READING -> R.string.reading
        Task.ANSWERING -> R.string.answering
        Task.TESTING -> R.string.testing
        Task.BENCHMARKING -> R.string.benchmarking
    }
