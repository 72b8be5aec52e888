//! Figures: medians, tables, and the word held or missed beside a goal.

/// A figure beside its goal.
pub struct Goal {
    what: String,
    value: Option<f64>,
    beside: Vec<(&'static str, f64)>,
    limit: f64,
}

impl Goal {
    /// `value` may be at most `limit`; without a value (a program was missing) the goal is missed.
    pub fn at_most(what: &str, value: Option<f64>, limit: f64) -> Self {
        Goal { what: what.to_owned(), value, beside: Vec::new(), limit }
    }

    /// The ratio of the medians of two programs may be at most `limit`. That of their fastest tenths is shown beside it: where
    /// the two differ much, the machine had other work.
    pub fn ratio(what: &str, one: &[f64], other: &[f64], limit: f64) -> Self {
        let goal = Goal { what: what.to_owned(), value: ratio(one, other, 0.5), beside: Vec::new(), limit };
        goal.compared_with("p10", ratio(one, other, 0.1))
    }

    /// Shows another figure beside, on which no verdict hangs.
    pub fn compared_with(mut self, name: &'static str, value: Option<f64>) -> Self {
        self.beside.extend(value.map(|value| (name, value)));
        self
    }

    /// Whether the figure is there and within its limit.
    pub fn held(&self) -> bool {
        self.value.is_some_and(|value| value <= self.limit)
    }
}

/// The quantile of `samples`, 0.5 for the median; none of none.
pub fn quantile(samples: &[f64], q: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len().saturating_sub(1)) as f64 * q).round() as usize).copied()
}

/// The median of `samples`, NaN of none.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5).unwrap_or(f64::NAN)
}

/// The ratio of two programs' quantiles; none where one of them was not measured.
pub fn ratio(one: &[f64], other: &[f64], q: f64) -> Option<f64> {
    Some(quantile(one, q)? / quantile(other, q)?)
}

/// Prints a title, rows aligned under their heads, and the goals with their verdicts.
pub fn print(title: &str, heads: &[&str], rows: &[Vec<String>], goals: &[Goal]) {
    println!("\n## {title}\n");
    let width =
        |column: usize| rows.iter().map(|row| row[column].len()).chain([heads[column].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(i, (cell, &w))| if i == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") });
        println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    line(&heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>());
    let rule = |(i, w): (usize, &usize)| if i == 0 { "-".repeat(*w) } else { "-".repeat(w - 1) + ":" };
    line(&widths.iter().enumerate().map(rule).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
    println!();
    for goal in goals {
        let value = goal.value.map_or("not measured".to_owned(), number);
        let verdict = if goal.held() { "held" } else { "MISSED" };
        let beside: String = goal.beside.iter().map(|(name, value)| format!(", {name} {}", number(*value))).collect();
        println!("{}: {value}{beside}; goal at most {}: {verdict}", goal.what, number(goal.limit));
    }
}

/// Two decimals for ratios, none for large figures.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        "-".to_owned()
    } else if value.abs() < 100.0 && value.fract() != 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// In which order round `round` takes `count` programs: it begins with another each time, and nobody has always the same
/// predecessor, so that the machine's other work and a neighbour's leavings fall on all alike.
pub fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    // A stride without common divisor with `count` visits every index once.
    let coprime = |n: &usize| (2..=*n).all(|d| !n.is_multiple_of(d) || !count.is_multiple_of(d));
    let strides: Vec<usize> = (1..count.max(2)).filter(coprime).collect();
    let stride = strides[round % strides.len()];
    (0..count).map(move |step| (round + step * stride) % count)
}
