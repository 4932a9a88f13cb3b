"""How a result is told: terminal tables, CSV files and self-contained HTML pages, made from ledgers only."""
