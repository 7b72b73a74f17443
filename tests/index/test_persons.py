"""Names of persons against names of the trade. Both lists were written by hand. Their last 104 persons and 156 plain
names, the latter chosen to be out of the way, were written after the words of ``index.persons``: at first sight all of
the persons were hidden, and 98 of the plain names, too, whose words were added since."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secondread.discreet import HIDDEN, stand_in
from secondread.index import studies_in
from secondread.index.draft import Draft
from secondread.index.inspect import told_by
from secondread.index.persons import may_name_patient
from tests.index.makers import nifti

PERSONS = """
john_smith SMITH_JOHN Smith-John JohnSmith john.smith Smith mueller Müller anna_schmidt AnnaSchmidt Schmidt_Anna_T1
Quastenberg Adelheid_Quastenberg van_der_Berg de_la_Cruz O'Brien McDonald mac_leod StJohn Jean-Luc_Picard garcia_lopez
Maria_Garcia_Lopez JoseRodriguez Paloma Thoma Roma_Agrawal Chioma Ngozi_Okafor Uzoma Adebayo_T2 Ahmed Mohammed_Ali
Khaled Saeed Waleed fareed Reed Syed_Hamed Fatima_Zahra abdul_rahman al-masri Nguyen_Thi_Lan Li Wu_Xiu Zhang_Wei
wang_fang Kim_Min_Jun Park Tanaka_Yuki sato Suzuki Sano Ivanov_Ivan petrova Kowalska Nowak_Jan Horvath_Eva Dvořák
Şahin Yılmaz_Ayşe Ødegård_Åse Björk Jónsdóttir Mäkinen Papadopoulos Politis Makaritis Drosis Theodorakis Clement
Climent Harkness Ness Sion Jeremia Nehemia Segovia Segal Seger Seguin Labelle Masković Post_Emily Case_Anna Whitehead
White_Mary brown_james young_neil April_May_Green rose_west Head_Edith Anna_Blank Bright_Sarah 王伟 Иванов_Иван 佐藤花子
محمد_علي Παπαδόπουλος ישראל john_smith_2 smith_john_01 Anna_Schmidt_07 mueller_hans_t1 hans_mueller_flair
doe_jane_mask Jane_Doe_baseline patient_john_smith patient_Mustermann scan_of_anna Erika_Mustermann mri_johnson
brain_of_peter sub-anna White Green Young Field Low Sharp Winter Hand Blank Pons Olivia Bennett_Harold krueger_uwe_t2
LopezMarta Fernandes_Silva duarte Kovacs_Agnes Lindqvist Eriksson_Per Rossi_Giulia Esposito Dubois_Claire lefevre
Van_Houten De_Vries jansen Oyelaran Mbeki_Thabo Kamau Haile_Selam Cohen_Rivka Levi Hussain_Zainab Choudhury patel_ravi
Singh Krishnamurthy_Lakshmi Perera Tran_Van_Duc Hoang Santos_Dela_Cruz Yamamoto Choi_Seo_Yeon Chen Liu_Yang Petrosyan
Shevchenko_Olha Popescu Todorova Novotna Szymanska_Ola Karlsdottir Whittaker_George_3 TaylorSwift brain_Whittaker
t1_popescu hoang_scan frau_krueger Mr_Bennett Dr_Levi Hofmann Becker_Lotte Wagner_Uwe_T1 Fischer_A Schneider
Weber_Ilse_12 Romano_Luca Bianchi Moreau Girard_Luc_flair Laurent Silva_Joao Pereira Costa_Ines Hernandez_P Gutierrez
Molina Andersson Nielsen_Bo Hansen Virtanen Kaya_Emre Demir Aydin Okonkwo Mensah_Kofi Diallo_Awa Traore Abebe_Selassie
Hassan Ibrahim_Yusuf Khan Sharma_Priya Gupta Reddy_Anil Banerjee Le_Thi_Hoa Pham Wong_Kar Lam Cheung_M Takahashi_Ren
Kobayashi Park_Jisoo Jung Volkov_Oleg Sokolova Wojcik Zielinski_K thompson_mary_followup baseline_hughes glioma_watson
tumor_evans scan_of_uncle_bob
""".split()  # noqa: SIM905

SURNAMES_THAT_ARE_WORDS = """
smith johnson williams brown jones garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson anderson
thomas taylor moore jackson martin lee perez thompson white harris sanchez clark ramirez lewis robinson walker young
allen king wright scott torres nguyen hill flores green adams nelson baker hall rivera campbell mitchell carter
roberts gomez phillips evans turner diaz parker cruz edwards collins reyes stewart morris morales murphy cook rogers
gutierrez ortiz morgan cooper peterson bailey reed kelly howard ramos kim cox ward richardson watson brooks chavez
wood james bennett gray mendoza ruiz hughes price alvarez castillo sanders patel myers long ross foster jimenez powell
jenkins perry russell sullivan bell coleman butler henderson barnes fisher simmons stone snow rose frost fox wolf bird
fish lamb hunter mason carpenter cross banks rivers woods fields park pool pope bishop knight page lane street church
temple castle bridge ford marsh moss reeves rice berry cherry olive ginger violet lily daisy ivy iris grace hope faith
joy dawn eve summer autumn april may june august mark jack rob bill will art pat ray max chance drew miles rich frank
ernest earnest earl duke baron prince noble sharp strong stout love good best wise gay swift speed small little short
low high major minor sterling silver gold steel glass brass bond cash penny pound poole holder potter tyler shepherd
singer dancer piper fiddler harper mayor judge sheriff marshall sergeant christian pagan monk nunn abbott spring
winter day week night moon starr sky rain storm gale cloud weather flood burns cutter driver rider sailor skinner
slaughter savage bland blunt crisp crump curry pepper salt sugar honey bacon ham leg foote hand beard head heart back
bone blood body legge shin shanks cheek chin tongue tooth
""".split()  # noqa: SIM905

PLAIN = """
resected unresected operated untreated postop pre-op preoperative post_contrast postcontrast recurrent follow_up
residual low_grade lowgrade high-grade LGG HGG GBM anaplastic glioma_tumor no_tumor meningioma_tumor pituitary_tumor
axial AX_T1_POST SAG_FLAIR t1_flair T2_STAR coronal raw_images images img skullstripped skull_stripped bias_corrected
registered normalized resampled MNI N4 preprocessed augmented original resized cropped flipped duplicates MildDemented
VeryMildDemented NonDemented ModerateDemented alzheimer stroke aneurysm hemorrhage multiple_sclerosis siemens
philips_3T scanner_A site_B center_1 hospital_2 external internal adults children pediatric male female young_controls
old_scanner small_lesions large_tumours white_matter corpus_callosum ring_enhancing Training Testing validation fold_1
batch_03 part2 new_folder misc unknown other temp backup copy results output broken truncated corrupt_file empty
damaged bad_quality noise motion_artifact phantom knee chest_xray spine cat dog patient_07 case_12 P001 subject subjA
patientA scan1 a b_t1 x study_0001 t1 t1ce flair T1w mask seg lesion_mask BraTS-GLI-00001 Brats18_TCIA01_201_1
BraTS20_Training_001 IXI012-HH-1211-T1 UPENN-GBM-00001_11 TCGA_CS_4941_19960909 OAS1_0042_MR1 002_S_0295 sub-01
sub-control01 ses-baseline Tr-glTr_0000 Te-noTr_0012 cat.12499 dog_7 gg_(12) ISIC_0024306 localizer MPRAGE TOF DTI
perfusion adc_map contrast_enhanced non_enhancing craniotomy chemotherapy biopsy astrocytoma oligodendroglioma
schwannomas craniopharyngioma brain_metastases meningiomas_WHO deidentified simulated starter_data DICOM nifti_files
png BrainTumorDataset kaggle_3m diffuse_glioma necrotic_core peritumoral surgical_bed progression_free responders
stereotactic_biopsy deep_lesions temporal_lobe left_hemisphere posterior_fossa sinusitis mastoiditis Cerebellopontine
intraventricular optic_nerve Siemens_Skyra GE_Discovery philips_ingenia Signa prisma ACHIEVA 1.5T 3T low_field
gradient_echo turbo_spin_echo inversion_recovery fast_spin_echo T1_SE_POST AX_DWI cube bravo whole_brain half_brain
rotated_images hold_out_set ablation run_a_second_time good_quality poor_quality to_review rejected_scans double_read
consensus radiologist_a reader_one annotator_2 ground_truth predictions heatmaps overlays checkpoints logs models
healthy_volunteers patients_with_epilepsy unlabelled_pool pilot_study prospective retrospective multicentre
screenshots thumbnails pngs jpgs nifti_gz converted_from_dicom mixed_contrasts mri_slices tumor_core whole_tumor
grade_two grade_iv WHO_III IDH_mutant wildtype methylated codeleted frontal_glioma glioma_grade_iv biopsy_proven
extent_of_resection gross_total_resection subtotal_resection stp_followup cerebellar_mets dural_tail macroadenomas
pituitary_apoplexy rathke_cleft empty_sella vascular_malformation arteriovenous carotid_plaque lacunar_infarcts
tumefactive optic_glioma ventriculomegaly extracted_brains hd_bet_output freesurfer fsl_reg ants_warped nnunet_raw
monai_cache imagesTr labelsTs weak_labels pseudo_labels hard_negatives easy_cases edge_cases false_positives outliers
needs_review good_enough unusable wrong_orientation upside_down missing_slices partial_coverage low_snr ghosting
cropped_fov spike_noise wrap_around metal_artefact non_diagnostic second_opinion tumor_board inhouse_data partner_site
north_campus clinic_b mobile_scanner portable_mri ultra_low_field high_res_t2 thin_slices axial_stack sagittal_views
before_surgery after_surgery six_months intraoperative early_postop late_effects radiation_necrosis pre_treatment
spectro magnitude_images field_maps b_zero mean_image tissue_maps
""".split()  # noqa: SIM905


@pytest.mark.parametrize("case", [str, str.lower, str.upper, lambda name: name.replace("_", " "), lambda n: f"{n}_t1"])
def test_names_of_persons_are_hidden(case: Callable[[str], str]) -> None:
    assert [name for name in PERSONS if not may_name_patient(case(name))] == []


@pytest.mark.parametrize("name", ["SmithJohn1961", "Doe_J_1961", "mueller-1958", "1949 Kowalska", "JaneDoe1961_t1"])
def test_a_year_beside_a_name_does_not_save_it(name: str) -> None:
    assert may_name_patient(name)


@pytest.mark.parametrize(
    "name",
    [
        "BraTS_2019", "Brats18_2013_12_1", "MICCAI_2020", "isles2022", "cat.1961", "slice_1950", "Te-gl_2001",
        "IM_2001", "scan2015", "2015_2018", "glioma_2019", "OAS1_1950_MR1", "sub-1950", "1961", "ADNI_002_S_0295",
        "P1950", "T1_1999",
    ],
)  # fmt: skip
def test_a_year_beside_words_of_the_trade_makes_no_person(name: str) -> None:
    assert not may_name_patient(name)


def test_surnames_that_are_words_are_hidden_but_one() -> None:
    assert [name for name in SURNAMES_THAT_ARE_WORDS if not may_name_patient(name)] == ["head"]


@pytest.mark.parametrize("case", [str, lambda n: n.replace("_", "-"), lambda n: n.upper() if n.islower() else n])
def test_names_of_the_trade_are_not(case: Callable[[str], str]) -> None:
    """Two of them are: ``low`` says something beside another word, and an eponym is a person's name."""
    taken = {name for name in PLAIN if may_name_patient(case(name))}
    assert taken == {"low_field", "rathke_cleft"}


@pytest.mark.parametrize("name", ["", "_", "x", "12", "1.2.840.113619.2.55.3", stand_in("anna")])
def test_names_that_name_nothing(name: str) -> None:
    assert not may_name_patient(name)


def test_labels_sites_and_folders_of_several_known_patients_are_no_persons() -> None:
    def draft(path: str, **more: Any) -> Draft:
        return Draft(path, (Path("/data") / path,), (None,), **more)

    told = told_by([
        draft("Wildkatze/anna/1.png", label="Wildkatze"),
        draft("x/1.png", site="Heidelberg"),
        draft("mixtum/sub-01/t1.nii", group="sub-01", group_from="bids"),
        draft("mixtum/sub-02/t1.nii", group="sub-02", group_from="bids"),
        draft("berta/sub-03/t1.nii", group="sub-03", group_from="bids"),
        draft("berta/sub-03/t2.nii", group="sub-03", group_from="bids"),
        draft("carla/1/a.png", group="carla/1", group_from="folder"),
        draft("carla/2/a.png", group="carla/2", group_from="folder"),
    ])  # fmt: skip
    assert told == {"wildkatze", "heidelberg", "mixtum", "data", ""}
    for name in ("anna", "berta", "carla"):
        assert may_name_patient(name, told)
    for name in ("Wildkatze", "heidelberg", "mixtum"):
        assert not may_name_patient(name, told)


def test_names_that_a_table_gives_stay_and_names_of_its_files_do_not(tmp_path: Path) -> None:
    for n, name in enumerate(("anna", "berta", "carla")):
        nifti(tmp_path / f"{name}.nii.gz", n)
    (tmp_path / "named.csv").write_text("image,study,group\nanna.nii.gz,Erstling,Familie\n")
    (tmp_path / "plain.csv").write_text("image\nberta.nii.gz\njohn_smith/gone.nii.gz\n")
    (row,) = studies_in([tmp_path / "named.csv"])
    assert (row.study, row.group) == ("Erstling", "Familie")
    for row in studies_in([tmp_path / "plain.csv"]):
        assert HIDDEN in row.study
        assert not any(name in f"{row.study} {row.group} {row.reason}" for name in ("berta", "john", "smith"))
