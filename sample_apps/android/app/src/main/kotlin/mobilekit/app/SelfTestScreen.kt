package mobilekit.app

import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.material3.Button
import androidx.compose.material3.Card
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import mobilekit.GoldenResult
import mobilekit.OutputCheck

/** What the self-test found of each model on everything that it can be computed on. */
@Composable
fun SelfTestScreen(state: AppState, onRun: () -> Unit) {
    Button(enabled = state.task == null && state.models.usable.isNotEmpty(), onClick = onRun) {
        Text(stringResource(R.string.self_test_run))
    }
    if (state.tested.isEmpty() && state.task == null) Text(stringResource(R.string.self_test_none))
    state.tested.forEach { SelfTestCard(it) }
}

/** PASS or FAIL, told apart without colours too. */
@Composable
fun Verdict(passed: Boolean) {
    val color = if (passed) MaterialTheme.colorScheme.primary else MaterialTheme.colorScheme.error
    Text(stringResource(if (passed) R.string.pass else R.string.fail), color = color)
}

@Composable
private fun SelfTestCard(tested: SelfTested) {
    val (model, unit) = tested.choice
    Card(Modifier.fillMaxWidth()) {
        Column(Modifier.padding(12.dp)) {
            // The runner is known once the file could be loaded.
            val on = tested.found.value?.runner ?: unit
            Text(
                stringResource(R.string.self_test_of, model.title, on), style = MaterialTheme.typography.titleMedium,
            )
            Verdict(tested.passed)
            tested.found.value?.let { Findings(it) }
            tested.found.fault?.let { Text(it) }
        }
    }
}

@Composable
private fun Findings(found: GoldenResult) {
    found.outputs.forEach { OutputLine(it) }
    Text(stringResource(R.string.geometry, found.greyLevels))
    val canary = when (found.canary) {
        true -> R.string.canary_held
        false -> R.string.canary_missed
        null -> R.string.canary_none
    }
    Text(stringResource(canary))
    Text(stringResource(R.string.loads, found.coldMs, found.warmMs.average()))
}

@Composable
private fun OutputLine(output: OutputCheck) {
    val least = output.leastDb
    Text(
        when {
            output.sqnrDb == Double.POSITIVE_INFINITY -> stringResource(R.string.sqnr_equal, output.name)
            least == null -> stringResource(R.string.sqnr, output.name, output.sqnrDb)
            else -> stringResource(R.string.sqnr_judged, output.name, output.sqnrDb, least)
        }
    )
}
