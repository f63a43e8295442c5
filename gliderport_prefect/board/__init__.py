"""What people read of a campaign: counts, tables, logs, progress. It reads the bucket and drives nothing."""
