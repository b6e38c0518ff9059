//! A segment's calibration as a picture: overlap against time, one line a method.

use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::prelude::{
    BLACK, ChartBuilder, Circle, IntoDrawingArea, IntoLogRange, LineSeries, Palette, Palette99,
    PathElement, SVGBackend, WHITE,
};
use plotters::style::Color;
use quarry_datasets::OutputFile;
use quarry_index::calibration::Calibration;

/// Width and height of one chart.
const SIZE: (u32, u32) = (760, 420);
/// Overlaps below this are not of interest.
const FLOOR: f64 = 0.6;

/// Draws one chart for every k and kind of query, below each other, into an SVG file.
pub(crate) fn draw(calibration: &Calibration, file: &Path, overwrite: bool) -> anyhow::Result<()> {
    crate::outputs::expect_apart(file, &[])?;
    let out = OutputFile::create(file, overwrite)?;
    let mut text = String::new();
    picture(calibration, file, &mut text)?;
    finish(out, &text)
}

fn finish(mut out: OutputFile, text: &str) -> anyhow::Result<()> {
    std::io::Write::write_all(&mut out, text.as_bytes())?;
    out.commit()?;
    Ok(())
}

fn picture(calibration: &Calibration, file: &Path, text: &mut String) -> anyhow::Result<()> {
    let mut charts: Vec<(u32, f64)> = Vec::new();
    for curve in &calibration.curves {
        if !charts.contains(&(curve.k, curve.query_terms)) {
            charts.push((curve.k, curve.query_terms));
        }
    }
    let rows = u32::try_from(charts.len().max(1))?;
    let area = SVGBackend::with_string(text, (SIZE.0, SIZE.1 * rows)).into_drawing_area();
    let failed = |e: &dyn std::fmt::Display| anyhow!("{}: {e}", file.display());
    area.fill(&WHITE).map_err(|e| failed(&e))?;
    for (area, (k, terms)) in area.split_evenly((rows as usize, 1)).iter().zip(charts) {
        let curves: Vec<_> = calibration
            .curves
            .iter()
            .filter(|c| c.k == k && c.query_terms.total_cmp(&terms).is_eq())
            .collect();
        let micros = || curves.iter().flat_map(|c| &c.points).map(|p| p.micros.max(0.1));
        let (least, most) = (micros().fold(f64::MAX, f64::min), micros().fold(0.1, f64::max));
        let mut chart = ChartBuilder::on(area)
            .caption(format!("overlap@{k}, queries of {terms:.0} terms"), ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d((least * 0.8..most * 1.25).log_scale(), FLOOR..1.005)
            .map_err(|e| failed(&e))?;
        chart
            .configure_mesh()
            .x_desc("microseconds a query, one thread")
            .y_desc("overlap with exact")
            .draw()
            .map_err(|e| failed(&e))?;
        for (number, curve) in curves.iter().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            let points = || curve.points.iter().map(|p| (p.micros.max(0.1), p.overlap.max(FLOOR)));
            let series = LineSeries::new(points(), colour.stroke_width(2));
            chart
                .draw_series(series)
                .map_err(|e| failed(&e))?
                .label(curve.method.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            chart
                .draw_series(points().map(|p| Circle::new(p, 3, colour.filled())))
                .map_err(|e| failed(&e))?;
        }
        chart
            .configure_series_labels()
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
            .map_err(|e| failed(&e))?;
    }
    area.present().with_context(|| format!("drawing {}", file.display()))
}
