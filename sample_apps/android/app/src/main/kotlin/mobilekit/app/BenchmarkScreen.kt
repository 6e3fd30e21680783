package mobilekit.app

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.material3.Button
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
        if (state.task == Task.BENCHMARKING) {
            Button(onClick = viewModel::stop) { Text(stringResource(R.string.benchmark_stop)) }
        } else {
            Button(enabled = state.task == null, onClick = viewModel::benchmark) {
                Text(stringResource(R.string.benchmark_run))
            }
        }
        Button(
            enabled = state.task == null && state.benched.isNotEmpty(),
            onClick = { viewModel.writeResults { context.share(it) } },
        ) { Text(stringResource(R.string.benchmark_share)) }
    }
    if (state.benched.isNotEmpty()) Results(state.ranking)
}

/** Several models and units side by side. */
@Composable
private fun Results(ranking: List<Benched>) {
    Cells(
        stringResource(R.string.column_model),
        stringResource(R.string.column_unit),
        stringResource(R.string.column_p50),
        stringResource(R.string.column_load),
    ) { Text(stringResource(R.string.column_self_test), style = MaterialTheme.typography.bodySmall) }
    for (benched in ranking) {
        val p50 = stringResource(R.string.milliseconds, benched.p50Ms)
        Cells(benched.title, benched.runner, p50, stringResource(R.string.milliseconds, benched.loadMs)) {
            Verdict(benched.passed)
        }
    }
}

/** A row of the table: texts get twice the room of figures. */
@Composable
private fun Cells(title: String, unit: String, p50: String, load: String, last: @Composable () -> Unit) {
    val small = MaterialTheme.typography.bodySmall
    Row(Modifier.fillMaxWidth(), horizontalArrangement = Arrangement.spacedBy(8.dp)) {
        Text(title, Modifier.weight(2f), style = small)
        Text(unit, Modifier.weight(2f), style = small)
        Text(p50, Modifier.weight(1f), style = small)
        Text(load, Modifier.weight(1f), style = small)
        Box(Modifier.weight(1f)) { last() }
    }
}
