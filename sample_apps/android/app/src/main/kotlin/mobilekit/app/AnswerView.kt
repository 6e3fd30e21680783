package mobilekit.app

import androidx.compose.foundation.Image
import androidx.compose.foundation.background
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.aspectRatio
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.size
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.Slider
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.FilterQuality
import androidx.compose.ui.graphics.ImageBitmap
import androidx.compose.ui.layout.ContentScale
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import mobilekit.Answer
import mobilekit.Feature
import mobilekit.classColor

/** A model's answer beside what it saw, and how long it took. */
@Composable
fun AnswerView(answered: Answered) {
    val reading = answered.reading
    PictureView(answered.seen, answered.overlay)
    val latency = answered.latency
    Text(
        stringResource(
            R.string.latency, answered.runner, latency.inferenceMs, latency.geometryMs, latency.readingMs,
        )
    )
    when (reading) {
        is Reading.Classes -> reading.best.forEach { Bar(it) }
        is Reading.Values -> reading.values.forEach { Text(stringResource(R.string.value, it.label, it.score)) }
        is Reading.Segments -> reading.shares.forEach { Legend(it) }
        is Reading.Features -> reading.features.forEach { FeatureLine(it) }
    }
}

@Composable
private fun PictureView(seen: ImageBitmap, overlay: ImageBitmap?) {
    var opacity by rememberSaveable { mutableStateOf(0.5f) }
    // As wide as a phone has room for, in the shape of what the network takes.
    val shown = Modifier.fillMaxWidth().aspectRatio(seen.width.toFloat() / seen.height)
    Box {
        Image(
            bitmap = seen,
            contentDescription = stringResource(R.string.picture),
            modifier = shown,
            contentScale = ContentScale.FillBounds,
        )
        if (overlay != null) {
            Image(
                bitmap = overlay,
                contentDescription = stringResource(R.string.overlay),
                modifier = shown,
                contentScale = ContentScale.FillBounds,
                alpha = opacity,
                filterQuality = FilterQuality.None, // a colour between two would be a third class's
            )
        }
    }
    if (overlay != null) {
        Text(stringResource(R.string.opacity))
        Slider(value = opacity, onValueChange = { opacity = it })
    }
}

@Composable
private fun Bar(answer: Answer) {
    Text(stringResource(R.string.score, answer.label, answer.score * 100))
    LinearProgressIndicator(progress = { answer.score.toFloat() }, modifier = Modifier.fillMaxWidth())
}

@Composable
private fun Legend(answer: Answer) {
    Row(horizontalArrangement = Arrangement.spacedBy(8.dp), verticalAlignment = Alignment.CenterVertically) {
        Box(Modifier.size(16.dp).background(Color(classColor(answer.index))))
        Text(stringResource(R.string.score, answer.label, answer.score * 100))
    }
}

@Composable
private fun FeatureLine(feature: Feature) {
    Text(stringResource(R.string.feature, feature.name, feature.shape.joinToString(" × "), feature.norm))
}
