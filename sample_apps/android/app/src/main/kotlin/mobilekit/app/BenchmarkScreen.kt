package mobilekit.app

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.material3.Button
import androidx.compose.material3.Card
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.LocalContext
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp

/** Times a model on everything that it can be computed on, and shares the results. */
@Composable
fun BenchmarkScreen(state: AppState, viewModel: AppViewModel) {
    val context = LocalContext.current
    val model = state.benchModel
    if (model == null) {
        if (state.task != Task.READING) Text(stringResource(R.string.no_models))
        return
    }
    Picker(stringResource(R.string.pick_model), state.models.usable, model, Model::title, viewModel::chooseForBenchmark)
    Row(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
        Button(enabled = state.task == null, onClick = viewModel::benchmark) {
            Text(stringResource(R.string.benchmark_run))
        }
        Button(
            enabled = state.task == null && state.benched.isNotEmpty(),
            onClick = { viewModel.writeResults { context.share(it) } },
        ) { Text(stringResource(R.string.benchmark_share)) }
    }
    state.benched.forEach { BenchmarkCard(it) }
}

@Composable
private fun BenchmarkCard(benched: Benched) {
    Card(Modifier.fillMaxWidth()) {
        Column(Modifier.padding(12.dp)) {
            Text(benched.runner, style = MaterialTheme.typography.titleMedium)
            Verdict(benched.passed)
            Text(stringResource(R.string.benchmark_p50, benched.p50Ms))
            Text(stringResource(R.string.benchmark_p90, benched.p90Ms))
            Text(stringResource(R.string.benchmark_first, benched.firstMs))
            Text(stringResource(R.string.benchmark_load, benched.loadMs))
        }
    }
}
