//! The two text formats of `/metrics`: OpenMetrics, as the library writes it, and Prometheus' classic format made from it.
//!
//! They differ in the name of a counter's family (`x` with samples `x_total`; `x_total`), in the term for an untyped
//! family, in units, and in the end marker. Samples are the same.

/// A format of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4: the default.
    Classic,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that the values of `Accept` prefer; the classic one if they name neither, as with other exporters.
    pub fn preferred<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let (mut open, mut classic) = (0.0_f32, 0.0_f32);
        for range in accept.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
            let kind = parts.next().unwrap_or_default();
            let weight = parts.find_map(|p| p.strip_prefix("q=").map(|q| q.parse().unwrap_or(0.0)));
            let weight: f32 = weight.unwrap_or(1.0);
            match kind.as_str() {
                "application/openmetrics-text" => open = open.max(weight),
                "text/plain" => classic = classic.max(weight),
                _ => {}
            }
        }
        if open > 0.0 && open >= classic { Self::OpenMetrics } else { Self::Classic }
    }

    /// The media type of the response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Rewrites an OpenMetrics text in the classic format.
pub fn classic(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    // A family's help comes before its type, on which its name depends.
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), text) => help = Some(text.unwrap_or_default()),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                if let Some(help) = help.take() {
                    out += &format!("# HELP {name}{suffix} {help}\n");
                }
                out += &format!("# TYPE {name}{suffix} {kind}\n");
            }
            (Some("#"), ..) => {} // units and the end marker, which the classic format lacks
            _ => {
                out += line;
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_accept() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, want) in [
            (&[][..], Format::Classic),
            (&["*/*"], Format::Classic),
            (&["text/plain"], Format::Classic),
            (&["application/json"], Format::Classic),
            (&["application/openmetrics-text"], Format::OpenMetrics),
            (&["Application/OpenMetrics-Text; version=1.0.0"], Format::OpenMetrics),
            (&[prometheus], Format::OpenMetrics),
            (&["text/plain;q=0.9, application/openmetrics-text;q=0.1"], Format::Classic),
            (&["application/openmetrics-text;q=0"], Format::Classic),
            (&["application/openmetrics-text;q=x"], Format::Classic),
            (&["text/html", "application/openmetrics-text"], Format::OpenMetrics),
        ] {
            assert_eq!(Format::preferred(accept.iter().copied()), want, "{accept:?}");
        }
    }

    #[test]
    fn the_classic_format_names_counters_by_their_samples() {
        let open = "# HELP a Things # of a kind.\n# TYPE a counter\na_total{x=\"# y\"} 1\n\
                    # HELP b_seconds Time.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 0.5\n\
                    b_seconds_bucket{le=\"+Inf\"} 1\n# TYPE c unknown\nc 2\n# EOF\n";
        let want = "# HELP a_total Things # of a kind.\n# TYPE a_total counter\na_total{x=\"# y\"} 1\n\
                    # HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_sum 0.5\n\
                    b_seconds_bucket{le=\"+Inf\"} 1\n# TYPE c untyped\nc 2\n";
        assert_eq!(classic(open), want);
    }
}
