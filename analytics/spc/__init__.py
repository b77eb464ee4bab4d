"""Statistical process control: control charts, run rules, capability. Shewhart 1931; ISO 7870; Montgomery, *Introduction
to Statistical Quality Control*."""
