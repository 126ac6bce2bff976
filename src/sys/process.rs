//! Starting, replacing and outliving processes.
