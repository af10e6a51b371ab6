"""What leaves a journal: tables, figures and the report. Import what you need from its modules; none is loaded here."""
