"""Virtual patients with known truth, written as the same FHIR records real women have."""
